// Products of packed float64 matrices (the scheme of Goto and van de Geijn 2008; blocking and threads are in
// matrix_product.cc).
#include "tile_product.h"

#include <algorithm>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define OOD_TILE_PRODUCT 1
#include <immintrin.h>
#endif

namespace ood::tile_product {

void pack_rows(View a, int64_t rows, int64_t depth, double scale, double* packed) {
  for (int64_t first = 0; first < rows; first += tile_rows) {
    const int64_t held = std::min(tile_rows, rows - first);
    const double* from = a.data + first * a.row_stride;
    for (int64_t p = 0; p < depth; ++p, packed += tile_rows) {
      const double* column = from + p * a.column_stride;
      int64_t r = 0;
      for (; r < held; ++r) packed[r] = scale * column[r * a.row_stride];
      for (; r < tile_rows; ++r) packed[r] = 0;
    }
  }
}

void pack_columns(View b, int64_t depth, int64_t columns, double* packed) {
  for (int64_t first = 0; first < columns; first += tile_columns) {
    const int64_t held = std::min(tile_columns, columns - first);
    const double* from = b.data + first * b.column_stride;
    if (held == tile_columns && b.column_stride == 1) {
      for (int64_t p = 0; p < depth; ++p, packed += tile_columns)
        std::copy_n(from + p * b.row_stride, tile_columns, packed);
      continue;
    }
    if (held < tile_columns) std::fill_n(packed, depth * tile_columns, 0.0);
    for (int64_t j = 0; j < held; ++j) {
      const double* column = from + j * b.column_stride;
      for (int64_t p = 0; p < depth; ++p) packed[p * tile_columns + j] = column[p * b.row_stride];
    }
    packed += depth * tile_columns;
  }
}

#ifdef OOD_TILE_PRODUCT

namespace {

constexpr int vectors = tile_columns / 8;

__attribute__((target("avx512f"))) void add_tile(const double* a, const double* b, int64_t depth, int64_t rows,
                                                 int64_t columns, double* c, int64_t row_stride) {
  __m512d sum[tile_rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < tile_rows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) sum[r][v] = _mm512_setzero_pd();
  }
  for (int64_t p = 0; p < depth; ++p, a += tile_rows, b += tile_columns) {
    const __m512d b0 = _mm512_load_pd(b), b1 = _mm512_load_pd(b + 8), b2 = _mm512_load_pd(b + 16);
#pragma GCC unroll 8
    for (int r = 0; r < tile_rows; ++r) {
      const __m512d factor = _mm512_set1_pd(a[r]);
      sum[r][0] = _mm512_fmadd_pd(factor, b0, sum[r][0]);
      sum[r][1] = _mm512_fmadd_pd(factor, b1, sum[r][1]);
      sum[r][2] = _mm512_fmadd_pd(factor, b2, sum[r][2]);
    }
  }
  const auto mask = [columns](int v) {
    const int64_t held = std::clamp<int64_t>(columns - 8 * v, 0, 8);
    return static_cast<__mmask8>((1U << held) - 1U);
  };
  const __mmask8 masks[vectors] = {mask(0), mask(1), mask(2)};
#pragma GCC unroll 8
  for (int r = 0; r < tile_rows; ++r) {
    if (r >= rows) break;
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) {
      double* to = c + r * row_stride + 8 * v;
      _mm512_mask_storeu_pd(to, masks[v], _mm512_add_pd(_mm512_maskz_loadu_pd(masks[v], to), sum[r][v]));
    }
  }
}

}  // namespace

bool pays() {
  static const bool answer = __builtin_cpu_supports("avx512f") && !__builtin_cpu_is("intel");
  return answer;
}

void add_product(const double* a, const double* b, int64_t rows, int64_t columns, int64_t depth, double* c,
                 int64_t row_stride, int64_t below) {
  // One panel of b stays in the first-level cache while all panels of a, in the second-level one, pass by.
  for (int64_t column = 0; column < columns; column += tile_columns) {
    for (int64_t row = 0; row < rows; row += tile_rows) {
      const int64_t held = std::min(tile_rows, rows - row);
      if (column > row + held - 1 + below) continue;
      add_tile(a + row * depth, b + column * depth, depth, held, std::min(tile_columns, columns - column),
               c + row * row_stride + column, row_stride);
    }
  }
}

#else

bool pays() { return false; }
void add_product(const double*, const double*, int64_t, int64_t, int64_t, double*, int64_t, int64_t) {}

#endif

}  // namespace ood::tile_product
