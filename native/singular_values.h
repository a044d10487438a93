// Singular values of a feature set with its basis, and of other sets projected on that basis. Read piece by piece
// through a triangle (TSQR, Demmel et al. 2012): no Gram matrix is formed, which would lose every singular value below
// 1e-8 of the largest, and memory does not grow with the number of rows.
#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <cstdint>

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

// Defines singularValues and projectedSingularValues on `exports`.
void define_singular_values(Napi::Env env, Napi::Object exports);

}  // namespace ood
