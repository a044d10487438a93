// Cholesky factors and inverses of triangular matrices, made of matrix products: LAPACK's own reach a fraction of that
// speed on processors for which its library has no kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ood {

// L with L·Lᵀ = matrix + jitter·I, from the lower triangle of a float64 matrix [d, d]; zeros above the diagonal.
// Returns 0, or the order (from 1) of the first leading minor that is not positive.
int64_t cholesky_lower(const at::Tensor& matrix, double jitter, at::Tensor& lower);

// L⁻¹ of a lower triangle [d, d], what lies above it unread; zeros above the diagonal.
at::Tensor inverse_of_lower(const at::Tensor& lower);

}  // namespace ood
