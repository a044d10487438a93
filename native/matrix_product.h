// The float32 product behind bounds and distances, by the fastest routine that this libtorch has for the processor.
#pragma once

#include <ATen/core/Tensor.h>

namespace ood {

// x·weightᵀ + bias for float32 x [n, k], weight [m, k], bias [m] or undefined: [n, m].
at::Tensor linear_float32(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace ood
