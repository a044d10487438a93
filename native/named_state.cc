// Arrays by name, as they are saved.
#include "named_state.h"

#include <ATen/ATen.h>

#include "arguments.h"
#include "errors.h"
#include "tensor.h"

namespace ood {

at::Tensor state_tensor(const NamedState& state, const std::string& name, at::ScalarType dtype, at::IntArrayRef shape) {
  for (const auto& [key, tensor] : state) {
    if (key != name) continue;
    if (tensor.scalar_type() != dtype || tensor.sizes() != shape) {
      fail("ERR_CORRUPT_FILE", name, ": expected ", dtype_name(dtype), " of shape ", shape, ", found ",
           dtype_name(tensor.scalar_type()), " of shape ", tensor.sizes());
    }
    if (tensor.is_floating_point() && !at::isfinite(tensor).all().item<bool>()) {
      fail("ERR_CORRUPT_FILE", name, ": expected finite numbers, found NaN or infinity");
    }
    return tensor;
  }
  fail("ERR_CORRUPT_FILE", name, ": not in the file");
}

std::vector<int64_t> state_counts(const NamedState& state, int64_t classes) {
  const at::Tensor count = state_tensor(state, "count", at::kLong, {classes}).contiguous();
  std::vector<int64_t> counts(count.const_data_ptr<int64_t>(), count.const_data_ptr<int64_t>() + classes);
  for (const int64_t n : counts) {
    if (n < 0 || n > (int64_t{1} << 53)) fail("ERR_CORRUPT_FILE", "count: expected 0 or more, found ", n);
  }
  return counts;
}

NamedState state_argument(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) fail("ERR_OPTION", name, ": expected an array of { name, tensor }");
  const auto array = value.As<Napi::Array>();
  NamedState state;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Object entry = object_argument(array.Get(i), name);
    const std::string key = string_argument(entry.Get("name"), name);
    state.emplace_back(key, tensor_argument(entry.Get("tensor"), key.c_str()));
  }
  return state;
}

Napi::Value state_to_js(Napi::Env env, const NamedState& state) {
  Napi::Array array = Napi::Array::New(env, state.size());
  for (uint32_t i = 0; i < state.size(); ++i) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", state[i].first);
    entry.Set("tensor", Tensor::wrap(env, state[i].second));
    array.Set(i, entry);
  }
  return array;
}

}  // namespace ood
