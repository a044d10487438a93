// The native class Tensor.
#include "binding/tensor.h"

#include <ATen/ATen.h>
#include <c10/util/safe_numerics.h>

#include <array>
#include <cstring>
#include <utility>

#include "binding/arguments.h"
#include "binding/environment.h"
#include "core/dtype.h"
#include "core/errors.h"

namespace ood {

namespace {

constexpr napi_type_tag tensor_tag{0x6c6962746f726368, 0x6f6f642d74656e73};

struct DtypeRow {
  at::ScalarType dtype;
  napi_typedarray_type array;
};

constexpr std::array<DtypeRow, 6> dtypes{{
    {at::kFloat, napi_float32_array},
    {at::kDouble, napi_float64_array},
    {at::kInt, napi_int32_array},
    {at::kLong, napi_bigint64_array},
    {at::kByte, napi_uint8_array},
    {at::kChar, napi_int8_array},
}};

const DtypeRow& row_of(at::ScalarType dtype) {
  for (const DtypeRow& row : dtypes) {
    if (row.dtype == dtype) return row;
  }
  fail("ERR_DTYPE", "a tensor of dtype ", c10::toString(dtype), " has no JavaScript form");
}

// The dtypes that files store numbers in as patterns of 16 bits, which JavaScript has no numbers for.
bool is_half(at::ScalarType dtype) { return dtype == at::kHalf || dtype == at::kBFloat16; }

// The dtype that a file has or gets; undefined is the tensor's own.
at::ScalarType stored_dtype_argument(const Napi::Value& value, at::ScalarType own) {
  if (value.IsUndefined()) return own;
  return choice_argument<at::ScalarType>(
      value, "stored",
      {{"float64", at::kDouble}, {"float32", at::kFloat}, {"float16", at::kHalf}, {"bfloat16", at::kBFloat16}});
}

napi_typedarray_type array_of(at::ScalarType dtype) { return is_half(dtype) ? napi_uint16_array : row_of(dtype).array; }

bool holds(napi_typedarray_type array, at::ScalarType dtype) {
  return array_of(dtype) == array || (dtype == at::kByte && array == napi_uint8_clamped_array);
}

struct TypedArrayView {
  napi_typedarray_type type;
  size_t length;
  void* data;
};

TypedArrayView view_of(const Napi::Value& value, const char* name) {
  bool is_typed_array = false;
  napi_is_typedarray(value.Env(), value, &is_typed_array);
  if (!is_typed_array) fail("ERR_OPTION", name, ": expected a typed array");
  TypedArrayView view{};
  napi_get_typedarray_info(value.Env(), value, &view.type, &view.length, &view.data, nullptr, nullptr);
  return view;
}

}  // namespace

at::ScalarType dtype_argument(const Napi::Value& value, const char* name) {
  const std::string text = string_argument(value, name);
  for (const DtypeRow& row : dtypes) {
    if (text == dtype_name(row.dtype)) return row.dtype;
  }
  fail("ERR_DTYPE", name, ": unknown dtype \"", text, "\"");
}

void Tensor::define(Napi::Env env, Napi::Object exports) {
  const Napi::Function constructor = DefineClass(env, "Tensor",
                                                 {
                                                     getter<&Tensor::shape>("shape"),
                                                     getter<&Tensor::dtype>("dtype"),
                                                     getter<&Tensor::disposed>("disposed"),
                                                     method<&Tensor::to_typed_array>("toTypedArray"),
                                                     method<&Tensor::write>("write"),
                                                     method<&Tensor::slice>("slice"),
                                                     method<&Tensor::dispose>("dispose"),
                                                 });
  Environment::of(env).tensor_constructor = Napi::Persistent(constructor);
  exports.Set("Tensor", constructor);
}

Napi::Value Tensor::wrap(Napi::Env env, const at::Tensor& tensor) {
  const Napi::Object object = Environment::of(env).tensor_constructor.New({});
  Tensor::Unwrap(object)->hold(env, tensor.detach().to(at::kCPU).contiguous());
  return object;
}

at::Tensor Tensor::unwrap(const Napi::Value& value, const char* name) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&tensor_tag)) {
    fail("ERR_OPTION", name, ": expected a Tensor");
  }
  return Tensor::Unwrap(value.As<Napi::Object>())->live(name);
}

Tensor::Tensor(const Napi::CallbackInfo& info) : Wrapped(info) {
  guarded(info.Env(), [&] {
    info.This().As<Napi::Object>().TypeTag(&tensor_tag);
    if (info.Length() == 0) return;  // wrap() fills it
    const at::ScalarType dtype = dtype_argument(info[2], "dtype");
    const std::vector<int64_t> shape = integers_argument(info[1], "shape");
    int64_t elements = 1;
    for (const int64_t size : shape) {
      if (c10::mul_overflows(elements, size, &elements)) fail("ERR_RANGE", "shape: more elements than can be counted");
    }
    int64_t bytes = 0;
    if (c10::mul_overflows(elements, static_cast<int64_t>(c10::elementSize(dtype)), &bytes)) {
      fail("ERR_OUT_OF_MEMORY", "shape: more bytes than can be addressed");
    }
    if (info[0].IsNull()) {
      hold(info.Env(), at::empty(shape, dtype));  // to zero gigabytes would hold up the event loop
      return;
    }
    const at::ScalarType stored = stored_dtype_argument(info[3], dtype);
    const TypedArrayView view = view_of(info[0], "data");
    if (!holds(view.type, stored)) fail("ERR_DTYPE", "data: the typed array does not hold ", dtype_name(stored));
    if (static_cast<int64_t>(view.length) != elements) {
      fail("ERR_SHAPE", "data: expected ", elements, " elements for shape ", c10::IntArrayRef(shape), ", found ",
           view.length);
    }
    const at::Tensor tensor = at::empty(shape, stored);
    if (elements > 0) std::memcpy(tensor.mutable_data_ptr(), view.data, tensor.nbytes());
    hold(info.Env(), tensor.to(dtype));
  });
}

Tensor::~Tensor() {
  if (accounted_bytes_ != 0) Napi::MemoryManagement::AdjustExternalMemory(Env(), -accounted_bytes_);
}

void Tensor::hold(Napi::Env env, at::Tensor tensor) {
  tensor_ = std::move(tensor);
  accounted_bytes_ = static_cast<int64_t>(tensor_.nbytes());
  Napi::MemoryManagement::AdjustExternalMemory(env, accounted_bytes_);
}

const at::Tensor& Tensor::live(const char* name) const {
  if (!tensor_.defined()) fail("ERR_DISPOSED", name, ": the tensor has been disposed");
  return tensor_;
}

Napi::Value Tensor::shape(const Napi::CallbackInfo& info) {
  const at::IntArrayRef sizes = live("shape").sizes();
  Napi::Array array = Napi::Array::New(info.Env(), sizes.size());
  for (uint32_t i = 0; i < sizes.size(); ++i) array.Set(i, static_cast<double>(sizes[i]));
  return array;
}

Napi::Value Tensor::dtype(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), dtype_name(live("dtype").scalar_type()));
}

Napi::Value Tensor::disposed(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), !tensor_.defined());
}

// toTypedArray(stored?): the elements, as they are or rounded to the dtype of a file
Napi::Value Tensor::to_typed_array(const Napi::CallbackInfo& info) {
  const at::ScalarType stored = stored_dtype_argument(info[0], live("tensor").scalar_type());
  const at::Tensor tensor = live("tensor").to(stored);
  if (stored != live("tensor").scalar_type() && !at::isfinite(tensor).all().item<bool>()) {
    fail("ERR_RANGE", "expected numbers within the range of ", dtype_name(stored), ", found larger ones");
  }
  const auto bytes = static_cast<size_t>(tensor.nbytes());
  napi_value buffer = nullptr;
  void* data = nullptr;
  if (napi_create_arraybuffer(info.Env(), bytes, &data, &buffer) != napi_ok || (bytes > 0 && data == nullptr)) {
    fail("ERR_OUT_OF_MEMORY", "cannot allocate an ArrayBuffer of ", bytes, " bytes");
  }
  if (bytes > 0) std::memcpy(data, tensor.const_data_ptr(), bytes);
  napi_value array = nullptr;
  if (napi_create_typedarray(info.Env(), array_of(stored), static_cast<size_t>(tensor.numel()), buffer, 0, &array) !=
      napi_ok) {
    throw Napi::Error::New(info.Env());
  }
  return {info.Env(), array};
}

// write(offset, typedArray): copies elements in place, for filling a large tensor in pieces.
Napi::Value Tensor::write(const Napi::CallbackInfo& info) {
  const at::Tensor& tensor = live("tensor");
  const int64_t offset = integer_argument(info[0], "offset", 0, tensor.numel());
  const TypedArrayView view = view_of(info[1], "data");
  if (!holds(view.type, tensor.scalar_type()))
    fail("ERR_DTYPE", "data: the typed array does not hold ", dtype_name(tensor.scalar_type()));
  if (static_cast<int64_t>(view.length) > tensor.numel() - offset) {
    fail("ERR_SHAPE", "data: expected at most ", tensor.numel() - offset, " elements from offset ", offset, ", found ",
         view.length);
  }
  const auto size = static_cast<size_t>(tensor.element_size());
  if (view.length > 0) {
    std::memcpy(static_cast<char*>(tensor.mutable_data_ptr()) + static_cast<size_t>(offset) * size, view.data,
                view.length * size);
  }
  return info.Env().Undefined();
}

// slice(start, end): rows start … end − 1 along the first dimension, in the same memory.
Napi::Value Tensor::slice(const Napi::CallbackInfo& info) {
  const at::Tensor& tensor = live("tensor");
  if (tensor.dim() == 0) fail("ERR_SHAPE", "slice: a scalar has no rows");
  const int64_t start = integer_argument(info[0], "start", 0, tensor.size(0));
  const int64_t end = integer_argument(info[1], "end", start, tensor.size(0));
  return wrap(info.Env(), tensor.slice(0, start, end));
}

Napi::Value Tensor::dispose(const Napi::CallbackInfo& info) {
  tensor_.reset();
  if (accounted_bytes_ != 0) {
    Napi::MemoryManagement::AdjustExternalMemory(info.Env(), -accounted_bytes_);
    accounted_bytes_ = 0;
  }
  return info.Env().Undefined();
}

}  // namespace ood
