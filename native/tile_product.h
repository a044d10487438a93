// Products of packed float64 matrices, register tile by register tile, by AVX-512. No libtorch in it.
#pragma once

#include <cstdint>

namespace ood::tile_product {

// Rows and columns of one tile: 24 accumulators, three vectors of b and one of a are 28 of 32 registers.
constexpr int64_t tile_rows = 8;
constexpr int64_t tile_columns = 24;

// Whether this processor has AVX-512 and a BLAS that does not use it: MKL takes its AVX-512 kernels on Intel's alone.
bool pays();

// A matrix of doubles anywhere in memory.
struct View {
  const double* data;
  int64_t row_stride, column_stride;
};

// a [rows, depth] times scale, as panels of tile_rows rows, each depth x tile_rows; the last one is filled up by zeros.
void pack_rows(View a, int64_t rows, int64_t depth, double scale, double* packed);

// b [depth, columns] as panels of tile_columns columns, each depth x tile_columns; the last one is filled up by zeros.
void pack_columns(View b, int64_t depth, int64_t columns, double* packed);

// c [rows, columns] += a·b of packed panels; c has contiguous rows. Only the tiles that hold a (row, column) with
// column ≤ row + below are computed.
void add_product(const double* a, const double* b, int64_t rows, int64_t columns, int64_t depth, double* c,
                 int64_t row_stride, int64_t below);

}  // namespace ood::tile_product
