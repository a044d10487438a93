// Converts named tensors between JavaScript, [{ name, tensor }], and C++.
#include "binding/named_tensors.h"

#include <string>

#include "binding/arguments.h"
#include "binding/tensor.h"
#include "core/errors.h"

namespace ood {

NamedTensors named_tensors_argument(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) fail("ERR_OPTION", name, ": expected an array of { name, tensor }");
  const auto array = value.As<Napi::Array>();
  NamedTensors tensors;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Object entry = object_argument(array.Get(i), name);
    const std::string key = string_argument(entry.Get("name"), name);
    tensors.emplace_back(key, tensor_argument(entry.Get("tensor"), key.c_str()));
  }
  return tensors;
}

Napi::Value named_tensors_to_js(Napi::Env env, const NamedTensors& tensors) {
  Napi::Array array = Napi::Array::New(env, tensors.size());
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", tensors[i].first);
    entry.Set("tensor", Tensor::wrap(env, tensors[i].second));
    array.Set(i, entry);
  }
  return array;
}

}  // namespace ood
