// Singular values of a feature set with its basis, and of other sets projected on that basis. Read piece by piece
// through a triangle (TSQR, Demmel et al. 2012): no Gram matrix is formed, which would lose every singular value below
// 1e-8 of the largest, and memory does not grow with the number of rows.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <optional>

#include "core/named_tensors.h"
#include "core/task.h"

namespace ood {

// The triangle R of A = QR for rows of A that come in pieces: A and R have the same singular values, the same right
// singular vectors and the same column lengths, each to a few times eps of the largest singular value.
class RowTriangle {
 public:
  explicit RowTriangle(int64_t columns) : columns_(columns) {}

  void add(const at::Tensor& rows);  // [n, columns], float64

  // [min(rows so far, columns), columns]
  at::Tensor matrix() const { return kept_; }

 private:
  int64_t columns_;
  at::Tensor kept_;
};

// Rows per piece for `columns` columns: enough that the triangle, which is factorised again with every piece, costs
// little beside it, in at most 128 MB where that leaves two rows per column.
int64_t triangle_rows(int64_t columns);

// Singular values of features [n, d] (host memory, float32 or float64), read on `device` a piece per step: "values" [k]
// descending, "basis" [d, k], "centre" [d], "outside" [1]: the length of the singular values left out, "rank" [1]. With
// `centred`, of the features less their mean, which is "centre".
Task<NamedTensors> singular_values(at::Tensor features, std::optional<int64_t> wanted, bool centred,
                                   c10::Device device);

// Of features [n, d] less centre [d] (or undefined), seen in a basis [d, k] of orthonormal columns: "values" [k]
// descending, "lengths" [k] by column of the basis, "outside" [1]. ERR_RANGE for another basis.
Task<NamedTensors> projected_singular_values(at::Tensor features, at::Tensor given_basis, at::Tensor given_centre,
                                             c10::Device device);

}  // namespace ood
