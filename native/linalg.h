// Matrix functions that JavaScript calls on whole matrices or batches of them.
#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <cstdint>
#include <optional>

namespace ood {

// Moore-Penrose inverse of [..., m, n], keeping singular values above rcond times the largest, or the `rank` largest.
at::Tensor pseudoinverse(const at::Tensor& matrix, std::optional<double> rcond, std::optional<int64_t> rank,
                         bool hermitian);

// Defines covariance, pinv, cholesky, logdet, eigh and svdvals on `exports`.
void define_linalg(Napi::Env env, Napi::Object exports);

}  // namespace ood
