// Products of packed matrices, register tile by register tile, and solutions with small triangles, by AVX-512 or AVX2:
// float64 ones by both, float32 ones by AVX2 alone. No libtorch in it.
#pragma once

#include <cstdint>

namespace ood::tile_product {

// Instruction sets that there are tiles for. The functions below take one that the processor has, and not `none`; for
// float32 (T = float) avx2.
enum class Instructions { none, avx2, avx512 };

// Rows and columns of one tile.
struct Shape {
  int64_t rows, columns;
};

template <typename T>
Shape shape_of(Instructions instructions);

// Whether this processor has them; true of `none`.
bool supports(Instructions instructions);

// The best instructions that this processor has, none where the BLAS uses them as well: MKL takes its kernels for
// AVX2 and AVX-512 on Intel's processors alone.
Instructions best();

// A matrix anywhere in memory.
template <typename T>
struct View {
  const T* data;
  int64_t row_stride, column_stride;
};

// a [rows, depth] times scale, as panels of a tile's rows, each depth x rows; the last one is filled up by zeros.
template <typename T>
void pack_rows(Instructions instructions, View<T> a, int64_t rows, int64_t depth, T scale, T* packed);

// b [depth, columns] as panels of a tile's columns, each depth x columns; the last one is filled up by zeros.
template <typename T>
void pack_columns(Instructions instructions, View<T> b, int64_t depth, int64_t columns, T* packed);

// c [rows, columns] += a·b of panels packed for the same instructions, aligned to 64 bytes; c has contiguous rows. Only
// the tiles that hold a (row, column) with column ≤ row + below are computed.
template <typename T>
void add_product(Instructions instructions, const T* a, const T* b, int64_t rows, int64_t columns, int64_t depth, T* c,
                 int64_t row_stride, int64_t below);

// The largest triangle that solve_right takes.
constexpr int64_t largest_triangle = 64;

// target [rows, dim] = target·L⁻ᵀ for a lower triangle L [dim, dim], what lies above it unread; both have contiguous
// rows.
void solve_right(Instructions instructions, const double* lower, int64_t lower_stride, int64_t dim, double* target,
                 int64_t rows, int64_t row_stride);

}  // namespace ood::tile_product
