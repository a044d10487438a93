// Arrays by name, as they are saved: looked up again with their dtype, shape and finiteness checked, since a file may
// be damaged.
#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ood {

using NamedState = std::vector<std::pair<std::string, at::Tensor>>;

// ERR_CORRUPT_FILE where the name is missing, or its dtype or shape differs, or a value is not finite.
at::Tensor state_tensor(const NamedState& state, const std::string& name, at::ScalarType dtype, at::IntArrayRef shape);

// The array "count": int64 [classes], none negative.
std::vector<int64_t> state_counts(const NamedState& state, int64_t classes);

// [{ name, tensor }], both ways.
NamedState state_argument(const Napi::Value& value, const char* name);
Napi::Value state_to_js(Napi::Env env, const NamedState& state);

}  // namespace ood
