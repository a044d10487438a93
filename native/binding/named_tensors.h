// Arrays by name as [{ name, tensor }], both ways.
#pragma once

#include <napi.h>

#include "core/named_tensors.h"

namespace ood {

NamedTensors named_tensors_argument(const Napi::Value& value, const char* name);
Napi::Value named_tensors_to_js(Napi::Env env, const NamedTensors& tensors);

}  // namespace ood
