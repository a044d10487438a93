// Checks of what JavaScript passed to a native function.
#include "binding/arguments.h"

#include <ATen/ATen.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <algorithm>
#include <cmath>

#include "binding/tensor.h"
#include "core/dtype.h"
#include "core/errors.h"

namespace ood {

namespace {

std::string kind_of(const Napi::Value& value) {
  if (value.IsNumber()) return c10::str(value.As<Napi::Number>().DoubleValue());
  if (value.IsString()) return "\"" + value.As<Napi::String>().Utf8Value().substr(0, 60) + "\"";
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value() ? "true" : "false";
  if (value.IsUndefined()) return "undefined";
  if (value.IsNull()) return "null";
  if (value.IsArray()) return "an array";
  if (value.IsFunction()) return "a function";
  return "an object";
}

}  // namespace

int64_t integer_argument(const Napi::Value& value, const char* name, int64_t minimum, int64_t maximum) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(std::abs(number) <= 9007199254740991.0) || number != std::trunc(number)) {
    fail("ERR_OPTION", name, ": expected an integer, found ", kind_of(value));
  }
  const auto integer = static_cast<int64_t>(number);
  if (integer < minimum || integer > maximum) {
    fail("ERR_RANGE", name, ": expected ", minimum, " to ", maximum, ", found ", integer);
  }
  return integer;
}

double number_argument(const Napi::Value& value, const char* name, double minimum, double maximum) {
  if (!value.IsNumber()) fail("ERR_OPTION", name, ": expected a number, found ", kind_of(value));
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!std::isfinite(number)) fail("ERR_NON_FINITE", name, ": expected a finite number, found ", number);
  if (number < minimum || number > maximum) {
    fail("ERR_RANGE", name, ": expected ", minimum, " to ", maximum, ", found ", number);
  }
  return number;
}

bool boolean_argument(const Napi::Value& value, const char* name) {
  if (!value.IsBoolean()) fail("ERR_OPTION", name, ": expected true or false, found ", kind_of(value));
  return value.As<Napi::Boolean>().Value();
}

std::string string_argument(const Napi::Value& value, const char* name) {
  if (!value.IsString()) fail("ERR_OPTION", name, ": expected a string, found ", kind_of(value));
  return value.As<Napi::String>().Utf8Value();
}

Napi::Object object_argument(const Napi::Value& value, const char* name) {
  if (!value.IsObject()) fail("ERR_OPTION", name, ": expected an object, found ", kind_of(value));
  return value.As<Napi::Object>();
}

std::vector<int64_t> integers_argument(const Napi::Value& value, const char* name, int64_t minimum) {
  if (!value.IsArray()) fail("ERR_OPTION", name, ": expected an array of integers, found ", kind_of(value));
  const auto array = value.As<Napi::Array>();
  std::vector<int64_t> integers(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) integers[i] = integer_argument(array.Get(i), name, minimum);
  return integers;
}

std::vector<double> numbers_argument(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) fail("ERR_OPTION", name, ": expected an array of numbers, found ", kind_of(value));
  const auto array = value.As<Napi::Array>();
  std::vector<double> numbers(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) numbers[i] = number_argument(array.Get(i), name);
  return numbers;
}

std::vector<std::string> strings_argument(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) fail("ERR_OPTION", name, ": expected an array of strings, found ", kind_of(value));
  const auto array = value.As<Napi::Array>();
  std::vector<std::string> strings(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) strings[i] = string_argument(array.Get(i), name);
  return strings;
}

c10::Device device_argument(const Napi::Value& value, const char* name) {
  const std::string text = string_argument(value, name);
  if (text == "cpu") return c10::Device(c10::kCPU);
  const bool indexed = text.starts_with("cuda:") && text.size() > 5 && text.size() <= 8 &&
                       std::all_of(text.begin() + 5, text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (text != "cuda" && !indexed)
    fail("ERR_OPTION", name, ": expected \"cpu\", \"cuda\" or \"cuda:N\", found \"", text, "\"");
  const int index = indexed ? std::stoi(text.substr(5)) : 0;
  const int count = at::detail::getCUDAHooks().hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
  if (index >= count) {
    fail(
        "ERR_DEVICE", name, ": \"", text, "\" is unavailable; ",
        count == 0 ? "no CUDA device was found" : "CUDA devices: 0 to ", count == 0 ? "" : std::to_string(count - 1),
        at::detail::getCUDAHooks().hasCUDA() ? "" : " (this libtorch is a CPU build, or its CUDA part was not loaded)");
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

at::Tensor tensor_argument(const Napi::Value& value, const char* name, std::initializer_list<at::ScalarType> dtypes,
                           int64_t dimensions) {
  at::Tensor tensor = Tensor::unwrap(value, name);
  if (dtypes.size() > 0 && std::find(dtypes.begin(), dtypes.end(), tensor.scalar_type()) == dtypes.end()) {
    std::string expected;
    for (const at::ScalarType dtype : dtypes)
      expected += (expected.empty() ? "" : " or ") + std::string(dtype_name(dtype));
    fail("ERR_DTYPE", name, ": expected ", expected, ", found ", dtype_name(tensor.scalar_type()));
  }
  if (dimensions >= 0 && tensor.dim() != dimensions) {
    fail("ERR_SHAPE", name, ": expected ", dimensions, " dimensions, found ", tensor.dim(), " (shape ", tensor.sizes(),
         ")");
  }
  return tensor;
}

at::Tensor optional_tensor_argument(const Napi::Value& value, const char* name,
                                    std::initializer_list<at::ScalarType> dtypes, int64_t dimensions) {
  if (value.IsUndefined() || value.IsNull()) return {};
  return tensor_argument(value, name, dtypes, dimensions);
}

at::Tensor features_argument(const Napi::Value& value, const char* name) {
  return tensor_argument(value, name, {at::kFloat, at::kDouble}, 2);
}

at::Tensor labels_argument(const Napi::Value& value, const char* name) {
  return tensor_argument(value, name, {at::kLong, at::kInt, at::kByte, at::kChar}, 1).to(at::kLong).contiguous();
}

}  // namespace ood
