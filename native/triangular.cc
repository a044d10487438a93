// Blocked algorithms over triangular matrices.
#include "triangular.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace ood {

namespace {

// Below this size LAPACK's unblocked kernels are the faster ones.
constexpr int64_t leaf = 64;

// Columns that are factored at once: wide enough for the matrix kernel, narrow enough that little is left to the leaves.
int64_t block_of(int64_t dim) { return dim >= 1024 ? 128 : leaf; }

void invert_into(const at::Tensor& lower, const at::Tensor& inverse) {
  const int64_t dim = lower.size(0);
  if (dim <= leaf) {
    inverse.copy_(at::linalg_solve_triangular(lower, at::eye(dim, lower.options()), /*upper=*/false));
    return;
  }
  // [A 0; B C]⁻¹ = [A⁻¹ 0; −C⁻¹·B·A⁻¹ C⁻¹]
  const int64_t half = (dim / 2 + leaf - 1) / leaf * leaf;
  const at::Tensor first = inverse.slice(0, 0, half).slice(1, 0, half);
  const at::Tensor second = inverse.slice(0, half, dim).slice(1, half, dim);
  invert_into(lower.slice(0, 0, half).slice(1, 0, half), first);
  invert_into(lower.slice(0, half, dim).slice(1, half, dim), second);
  const at::Tensor corner = lower.slice(0, half, dim).slice(1, 0, half).mm(first);
  inverse.slice(0, half, dim).slice(1, 0, half).addmm_(second, corner, /*beta=*/0, /*alpha=*/-1);
}

}  // namespace

int64_t cholesky_lower(const at::Tensor& matrix, double jitter, at::Tensor& lower) {
  const int64_t dim = matrix.size(0);
  const int64_t block = block_of(dim);
  const auto lapack = [](const at::Tensor& symmetric, double shift, at::Tensor& factor) {
    at::Tensor shifted = symmetric;
    if (shift != 0) {
      shifted = symmetric.clone();
      shifted.diagonal().add_(shift);
    }
    auto [found, info] = at::linalg_cholesky_ex(shifted);  // reads the lower triangle only
    factor = found;
    return info.item<int64_t>();
  };
  if (!matrix.is_cpu() || dim <= block) return lapack(matrix, jitter, lower);

  // Left-looking: each block of columns takes the product of those before it, then its diagonal block is factored.
  lower = at::zeros_like(matrix, at::MemoryFormat::Contiguous);
  for (int64_t start = 0; start < dim; start += block) {
    const int64_t end = std::min(start + block, dim);
    const at::Tensor panel = matrix.slice(0, start, dim).slice(1, start, end).clone(at::MemoryFormat::Contiguous);
    if (start > 0) {
      panel.addmm_(lower.slice(0, start, dim).slice(1, 0, start), lower.slice(0, start, end).slice(1, 0, start).t(), 1, -1);
    }
    at::Tensor factor;
    const int64_t failed = block > leaf ? cholesky_lower(panel.slice(0, 0, end - start), jitter, factor)
                                        : lapack(panel.slice(0, 0, end - start), jitter, factor);
    if (failed != 0) return start + failed;
    lower.slice(0, start, end).slice(1, start, end).copy_(factor);
    if (end == dim) break;
    // X·Lᵀ = B by the inverse, corrected once by what it leaves: as accurate as substitution.
    const at::Tensor inverse = inverse_of_lower(factor).t();
    const at::Tensor right = panel.slice(0, end - start);
    const at::Tensor below = right.mm(inverse);
    below.addmm_(right.addmm_(below, factor.t(), 1, -1), inverse);
    lower.slice(0, end, dim).slice(1, start, end).copy_(below);
  }
  return 0;
}

at::Tensor inverse_of_lower(const at::Tensor& lower) {
  if (!lower.is_cpu()) return at::linalg_solve_triangular(lower, at::eye(lower.size(0), lower.options()), /*upper=*/false);
  at::Tensor inverse = at::zeros_like(lower, at::MemoryFormat::Contiguous);
  invert_into(lower, inverse);
  return inverse;
}

}  // namespace ood
