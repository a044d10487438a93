// Matrix functions that JavaScript calls on whole matrices or batches of them.
#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <cstdint>
#include <optional>

namespace ood {

// Covariance of the rows of x [n, d] in float64, [d, d]: Σ w (x − x̄)(x − x̄)ᵀ / (Σw − ddof), the weights [n] counting
// repetitions (undefined: 1 each).
at::Tensor covariance_of_rows(const at::Tensor& x, const at::Tensor& weights, double ddof);

// Moore-Penrose inverse of [..., m, n], keeping singular values above rcond times the largest, or the `rank` largest.
at::Tensor pseudoinverse(const at::Tensor& matrix, std::optional<double> rcond, std::optional<int64_t> rank,
                         bool hermitian);

// Defines covariance, pinv, cholesky, logdet, eigh and svdvals on `exports`.
void define_linalg(Napi::Env env, Napi::Object exports);

}  // namespace ood
