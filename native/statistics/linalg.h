// Pseudoinverses, Cholesky factors, eigenvalues and singular values of whole matrices or batches of them (float32 or
// float64), at any magnitude. Arguments and results are in host memory where a device is named.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <optional>

#include "core/named_tensors.h"
#include "core/poll.h"

namespace ood {

// Moore-Penrose inverse of [..., m, n], on its device, keeping singular values above rcond times the largest, or the
// `rank` largest. ERR_RANGE where it is beyond the dtype.
at::Tensor pseudoinverse(const at::Tensor& matrix, std::optional<double> rcond, std::optional<int64_t> rank,
                         bool hermitian);

// The same on `device`, of matrices that are looked at first: ERR_NON_FINITE, ERR_RANGE where one that should be is not
// symmetric.
at::Tensor checked_pseudoinverse(const at::Tensor& matrix, std::optional<double> rcond, std::optional<int64_t> rank,
                                 bool hermitian, c10::Device device);

struct JitterChoice {
  enum class Rule { relative, ddu, fixed } rule = Rule::relative;  // ddu: one for all
  double fixed = 0;
};

// "factor" [..., n, n] of symmetric matrices and "jitter" [batch].
NamedTensors cholesky_factors(const at::Tensor& matrix, const JitterChoice& jitter, c10::Device device,
                              const Poll& poll);

// "values" [..., n] ascending and "vectors" [..., n, n] in columns, of symmetric matrices.
NamedTensors symmetric_eigen(const at::Tensor& matrix, c10::Device device);

// [..., min(m, n)] descending.
at::Tensor matrix_singular_values(const at::Tensor& matrix, c10::Device device);

}  // namespace ood
