// Recursive algorithms over triangular matrices.
#include "kernels/triangular.h"

#include <ATen/ATen.h>
#include <ATen/native/BatchLinearAlgebra.h>

#include <algorithm>

#include "core/parallel.h"
#include "kernels/matrix_product.h"
#include "kernels/tile_product.h"

namespace ood {

namespace {

// Up to this size LAPACK's own kernels are used: where the products are no faster than its own, calls cost more than
// those save.
int64_t leaf_of(const at::Tensor& matrix) { return has_tiles(matrix) ? tile_product::largest_triangle : 256; }

int64_t half_of(int64_t dim, int64_t leaf) { return (dim / 2 + leaf - 1) / leaf * leaf; }

// target −= rows·rowsᵀ in the lower triangle of target; what lies above it is undefined.
void subtract_gram(const at::Tensor& target, const at::Tensor& rows) {
  const int64_t dim = target.size(0), leaf = leaf_of(target);
  if (dim <= 2 * leaf || has_tiles(target)) {
    add_product(target, rows, rows.t(), -1, Wanted::lower_triangle);
    return;
  }
  const int64_t half = half_of(dim, leaf);
  const at::Tensor upper = rows.slice(0, 0, half), lower = rows.slice(0, half);
  subtract_gram(target.slice(0, 0, half).slice(1, 0, half), upper);
  add_product(target.slice(0, half).slice(1, 0, half), lower, upper.t(), -1);
  subtract_gram(target.slice(0, half).slice(1, half), lower);
}

// target = target·L⁻ᵀ, in place: with L = [A · ; B C] and target = [S T], S·A⁻ᵀ = X and (T − X·Bᵀ)·C⁻ᵀ.
void solve_right(const at::Tensor& lower, const at::Tensor& target) {
  const int64_t dim = lower.size(0), leaf = leaf_of(lower);
  if (dim <= leaf && has_tiles(target)) {
    solve_right_by_tiles(lower, target);
    return;
  }
  if (dim <= leaf) {
    // As L·Xᵀ = targetᵀ, whose columns, which LAPACK's libraries work by, are rows here.
    target.copy_(at::linalg_solve_triangular(lower, target.t(), /*upper=*/false).t());
    return;
  }
  const int64_t half = half_of(dim, leaf);
  const at::Tensor left = target.slice(1, 0, half), right = target.slice(1, half);
  solve_right(lower.slice(0, 0, half).slice(1, 0, half), left);
  add_product(right, left, lower.slice(0, half).slice(1, 0, half).t(), -1);
  solve_right(lower.slice(0, half).slice(1, half), right);
}

// The lower factor of a contiguous float64 matrix, in its place; zeros above. at::linalg_cholesky first clears the
// other triangle by columns, which at d = 1024 takes as long as the products do. Returns LAPACK's info.
int64_t lapack_in_place(const at::Tensor& matrix) {
  // LAPACK works by columns: the upper factor of the transpose, read by rows, is the lower one.
#ifdef _WIN32  // not exported there
  const auto [upper, info] = at::linalg_cholesky_ex(matrix.t(), /*upper=*/true);
  matrix.copy_(upper.t());
  return info.item<int64_t>();
#else
  int info = 0;
  const auto dim = static_cast<int>(matrix.size(0));
  at::native::lapackCholesky<double>('U', dim, matrix.mutable_data_ptr<double>(), std::max(dim, 1), &info);
  matrix.tril_();
  return info;
#endif
}

// The largest matrix that is factored by blocks, for which it takes half as much memory again.
constexpr int64_t largest_by_blocks = 2048;

// The factor by blocks of 64 x 64, block column by block column, from tiles: each block of it is packed once, and read
// from there by all blocks to its right. One loop over threads a block column, however busy these are.
int64_t factor_by_blocks(const at::Tensor& matrix) {
  constexpr int64_t size = tile_product::largest_triangle;
  const tile_product::Instructions tiles = tile_instructions();
  const int64_t dim = matrix.size(0), stride = matrix.stride(0), blocks = (dim + size - 1) / size;
  const int64_t tile_columns = tile_product::shape_of<double>(tiles).columns;
  const int64_t column_block = size * ((size + tile_columns - 1) / tile_columns * tile_columns);
  const at::Tensor packed_rows = at::empty({blocks * (blocks - 1) / 2 * size * size}, matrix.options());
  const at::Tensor packed_columns = at::empty({blocks * column_block}, matrix.options());
  double* const packed_a = packed_rows.mutable_data_ptr<double>();
  double* const packed_b = packed_columns.mutable_data_ptr<double>();
  double* const entries = matrix.mutable_data_ptr<double>();
  const auto held = [&](int64_t block) { return std::min(size, dim - block * size); };
  const auto place = [&](int64_t i, int64_t k) { return entries + i * size * stride + k * size; };
  const auto packed = [&](int64_t i, int64_t k) { return packed_a + (i * (i - 1) / 2 + k) * size * size; };
  for (int64_t k = 0; k < blocks; ++k) {
    for (int64_t j = 0; j < k; ++j)
      tile_product::pack_columns<double>(tiles, {place(k, j), 1, stride}, size, held(k), packed_b + j * column_block);
    const auto subtract_left = [&](int64_t i) {
      const int64_t below = i == k ? 0 : size;
      for (int64_t j = 0; j < k; ++j)
        tile_product::add_product(tiles, packed(i, j), packed_b + j * column_block, held(i), held(k), size, place(i, k),
                                  stride, below);
    };
    subtract_left(k);
    const int64_t start = k * size;
    const at::Tensor corner = matrix.slice(0, start, start + held(k)).slice(1, start, start + held(k));
    const at::Tensor factor = corner.contiguous();
    if (const int64_t failed = lapack_in_place(factor)) return start + failed;
    corner.copy_(factor);
    in_parallel(blocks - k - 1, [&](int64_t below) {
      const int64_t i = k + 1 + below;
      subtract_left(i);
      tile_product::solve_right(tiles, place(k, k), stride, held(k), place(i, k), held(i), stride);
      tile_product::pack_rows<double>(tiles, {place(i, k), stride, 1}, held(i), size, -1, packed(i, k));
    });
    for (int64_t row = start; row < start + held(k); ++row)
      std::fill(entries + row * stride + start + held(k), entries + row * stride + dim, 0.0);
  }
  return 0;
}

// Replaces the lower triangle of a matrix by its factor; zeros above. [A · ; B C] = [L · ; X M]·[L · ; X M]ᵀ with
// A = L·Lᵀ, X = B·L⁻ᵀ, C − X·Xᵀ = M·Mᵀ.
int64_t factor_in_place(const at::Tensor& matrix) {
  const int64_t dim = matrix.size(0), leaf = leaf_of(matrix);
  if (has_tiles(matrix) && dim > leaf && dim <= largest_by_blocks) return factor_by_blocks(matrix);
  if (dim <= leaf) {
    const at::Tensor block = matrix.contiguous();
    const int64_t failed = lapack_in_place(block);
    matrix.copy_(block);
    return failed;
  }
  const int64_t half = half_of(dim, leaf);
  const at::Tensor first = matrix.slice(0, 0, half).slice(1, 0, half);
  const at::Tensor below = matrix.slice(0, half).slice(1, 0, half);
  const at::Tensor second = matrix.slice(0, half).slice(1, half);
  if (const int64_t failed = factor_in_place(first)) return failed;
  solve_right(first, below);
  subtract_gram(second, below);
  matrix.slice(0, 0, half).slice(1, half).zero_();
  const int64_t failed = factor_in_place(second);
  return failed == 0 ? 0 : half + failed;
}

void invert_into(const at::Tensor& lower, const at::Tensor& inverse) {
  const int64_t dim = lower.size(0), leaf = leaf_of(lower);
  if (dim <= leaf) {
    inverse.copy_(at::linalg_solve_triangular(lower, at::eye(dim, lower.options()), /*upper=*/false));
    return;
  }
  // [A 0; B C]⁻¹ = [A⁻¹ 0; −C⁻¹·B·A⁻¹ C⁻¹]
  const int64_t half = half_of(dim, leaf);
  const at::Tensor first = inverse.slice(0, 0, half).slice(1, 0, half);
  const at::Tensor second = inverse.slice(0, half, dim).slice(1, half, dim);
  invert_into(lower.slice(0, 0, half).slice(1, 0, half), first);
  invert_into(lower.slice(0, half, dim).slice(1, half, dim), second);
  const at::Tensor corner = at::zeros({dim - half, half}, lower.options());
  add_product(corner, lower.slice(0, half, dim).slice(1, 0, half), first);
  add_product(inverse.slice(0, half, dim).slice(1, 0, half), second, corner, -1);
}

}  // namespace

int64_t cholesky_lower(const at::Tensor& matrix, double jitter, at::Tensor& lower) {
  lower = matrix.clone(at::MemoryFormat::Contiguous);
  if (jitter != 0) lower.diagonal().add_(jitter);
  if (matrix.is_cpu()) return factor_in_place(lower);
  const auto [factor, info] = at::linalg_cholesky_ex(lower);
  lower = factor;
  return info.item<int64_t>();
}

at::Tensor inverse_of_lower(const at::Tensor& lower) {
  if (!lower.is_cpu())
    return at::linalg_solve_triangular(lower, at::eye(lower.size(0), lower.options()), /*upper=*/false);
  at::Tensor inverse = at::zeros_like(lower, at::MemoryFormat::Contiguous);
  invert_into(lower, inverse);
  return inverse;
}

}  // namespace ood
