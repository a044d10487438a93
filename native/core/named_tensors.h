// Arrays by name, as they are saved: looked up again with their dtype, shape and finiteness checked, since a file may
// be damaged.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ood {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// ERR_CORRUPT_FILE where the name is missing, or its dtype or shape differs, or a value is not finite.
at::Tensor saved_tensor(const NamedTensors& state, const std::string& name, at::ScalarType dtype,
                        at::IntArrayRef shape);

// The array "count": int64 [classes], none negative.
std::vector<int64_t> saved_counts(const NamedTensors& state, int64_t classes);

}  // namespace ood
