// Products of packed matrices (the scheme of Goto and van de Geijn 2008; blocking and threads are in
// matrix_product.cc).
#include "kernels/tile_product.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "platform/cpu_features.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define OOD_TILE_PRODUCT 1
#include <immintrin.h>
#endif

namespace ood::tile_product {

namespace {

// 24 accumulators, three vectors of b and one of a are 28 of 32 registers.
struct Avx512 {
  static constexpr int rows = 8, columns = 24;
  static void add_tile(const double* a, const double* b, int64_t depth, int64_t held_rows, int64_t held_columns,
                       double* c, int64_t row_stride);
  static void solve_lanes(const double* lower, int64_t stride, int64_t dim, double* lanes);
};

// 12 accumulators, three vectors of b and one of a are the 16 registers.
template <typename T>
struct Avx2 {
  static constexpr int lanes = 32 / sizeof(T), rows = 4, columns = 3 * lanes;
  static void add_tile(const T* a, const T* b, int64_t depth, int64_t held_rows, int64_t held_columns, T* c,
                       int64_t row_stride);
  static void solve_lanes(const T* lower, int64_t stride, int64_t dim, T* lanes);
};

template <int tile_rows, typename T>
void pack_rows_by(View<T> a, int64_t rows, int64_t depth, T scale, T* packed) {
  for (int64_t first = 0; first < rows; first += tile_rows) {
    const int64_t held = std::min<int64_t>(tile_rows, rows - first);
    const T* from = a.data + first * a.row_stride;
    if (held == tile_rows && a.row_stride == 1) {
      for (int64_t p = 0; p < depth; ++p, packed += tile_rows) {
        const T* column = from + p * a.column_stride;
        for (int r = 0; r < tile_rows; ++r) packed[r] = scale * column[r];
      }
      continue;
    }
    for (int64_t p = 0; p < depth; ++p, packed += tile_rows) {
      const T* column = from + p * a.column_stride;
      int64_t r = 0;
      for (; r < held; ++r) packed[r] = scale * column[r * a.row_stride];
      for (; r < tile_rows; ++r) packed[r] = 0;
    }
  }
}

// A panel of columns that are contiguous: two by two numbers at a time, and of each column what fills a line of the
// cache.
template <int tile_columns, typename T>
void pack_transposed(const T* from, int64_t column_stride, int64_t depth, T* packed) {
  constexpr int64_t line = 64 / sizeof(T);
  const int64_t whole = depth / line * line;
  for (int64_t start = 0; start < whole; start += line) {
    for (int j = 0; j < tile_columns; j += 2) {
      const T* const left = from + j * column_stride + start;
      const T* const right = left + column_stride;
      T* to = packed + start * tile_columns + j;
      for (int64_t p = 0; p < line; p += 2, to += 2 * tile_columns) {
        const T block[2][2] = {{left[p], right[p]}, {left[p + 1], right[p + 1]}};
        std::copy_n(block[0], 2, to);
        std::copy_n(block[1], 2, to + tile_columns);
      }
    }
  }
  for (int64_t p = whole; p < depth; ++p)
    for (int j = 0; j < tile_columns; ++j) packed[p * tile_columns + j] = from[j * column_stride + p];
}

template <int tile_columns, typename T>
void pack_columns_by(View<T> b, int64_t depth, int64_t columns, T* packed) {
  for (int64_t first = 0; first < columns; first += tile_columns) {
    const int64_t held = std::min<int64_t>(tile_columns, columns - first);
    const T* from = b.data + first * b.column_stride;
    if (held == tile_columns && b.column_stride == 1) {
      for (int64_t p = 0; p < depth; ++p, packed += tile_columns)
        std::copy_n(from + p * b.row_stride, tile_columns, packed);
      continue;
    }
    if (held == tile_columns && b.row_stride == 1) {
      pack_transposed<tile_columns>(from, b.column_stride, depth, packed);
      packed += depth * tile_columns;
      continue;
    }
    if (held < tile_columns) std::fill_n(packed, depth * tile_columns, T{0});
    for (int64_t j = 0; j < held; ++j) {
      const T* column = from + j * b.column_stride;
      for (int64_t p = 0; p < depth; ++p) packed[p * tile_columns + j] = column[p * b.row_stride];
    }
    packed += depth * tile_columns;
  }
}

template <typename Tile, typename T>
void add_product_by(const T* a, const T* b, int64_t rows, int64_t columns, int64_t depth, T* c, int64_t row_stride,
                    int64_t below) {
  // One panel of b stays in the first-level cache while all panels of a, in the second-level one, pass by.
  for (int64_t column = 0; column < columns; column += Tile::columns) {
    for (int64_t row = 0; row < rows; row += Tile::rows) {
      const int64_t held = std::min<int64_t>(Tile::rows, rows - row);
      if (column > row + held - 1 + below) continue;
      Tile::add_tile(a + row * depth, b + column * depth, depth, held,
                     std::min<int64_t>(Tile::columns, columns - column), c + row * row_stride + column, row_stride);
    }
  }
}

// Rows that solve_right takes at a time, eight vectors of them, so that additions need not wait for one another.
template <typename Tile>
constexpr int64_t lanes_of = Tile::columns / 3 * 8;

template <typename Tile>
void solve_right_by(const double* lower, int64_t lower_stride, int64_t dim, double* target, int64_t rows,
                    int64_t row_stride) {
  constexpr int64_t lanes = lanes_of<Tile>;
  alignas(64) double columns[largest_triangle * lanes];
  for (int64_t first = 0; first < rows; first += lanes) {
    const int64_t held = std::min(lanes, rows - first);
    double* const from = target + first * row_stride;
    if (held < lanes) std::fill_n(columns, dim * lanes, 0.0);
    for (int64_t r = 0; r < held; ++r)
      for (int64_t j = 0; j < dim; ++j) columns[j * lanes + r] = from[r * row_stride + j];
    Tile::solve_lanes(lower, lower_stride, dim, columns);
    for (int64_t r = 0; r < held; ++r)
      for (int64_t j = 0; j < dim; ++j) from[r * row_stride + j] = columns[j * lanes + r];
  }
}

#ifdef OOD_TILE_PRODUCT

// columns[j] = (columns[j] − Σ_{k<j} L_jk·columns[k]) / L_jj, each of eight vectors.
template <typename Vector>
__attribute__((always_inline)) inline void substitute(const double* lower, int64_t stride, int64_t dim,
                                                      Vector* columns) {
  for (int64_t j = 0; j < dim; ++j) {
    const double* const row = lower + j * stride;
    Vector rest[8];
#pragma GCC unroll 8
    for (int v = 0; v < 8; ++v) rest[v] = columns[8 * j + v];
    for (int64_t k = 0; k < j; ++k) {
#pragma GCC unroll 8
      for (int v = 0; v < 8; ++v) rest[v] -= row[k] * columns[8 * k + v];
    }
#pragma GCC unroll 8
    for (int v = 0; v < 8; ++v) columns[8 * j + v] = rest[v] / row[j];
  }
}

__attribute__((target("avx512f"))) void Avx512::solve_lanes(const double* lower, int64_t stride, int64_t dim,
                                                            double* lanes) {
  substitute(lower, stride, dim, reinterpret_cast<__m512d*>(lanes));
}

template <>
__attribute__((target("avx2,fma"))) void Avx2<double>::solve_lanes(const double* lower, int64_t stride, int64_t dim,
                                                                   double* lanes) {
  substitute(lower, stride, dim, reinterpret_cast<__m256d*>(lanes));
}

__attribute__((target("avx512f"))) void Avx512::add_tile(const double* a, const double* b, int64_t depth,
                                                         int64_t held_rows, int64_t held_columns, double* c,
                                                         int64_t row_stride) {
  __m512d sum[rows][3];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < 3; ++v) sum[r][v] = _mm512_setzero_pd();
  }
  for (int64_t p = 0; p < depth; ++p, a += rows, b += columns) {
    const __m512d b0 = _mm512_load_pd(b), b1 = _mm512_load_pd(b + 8), b2 = _mm512_load_pd(b + 16);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const __m512d factor = _mm512_set1_pd(a[r]);
      sum[r][0] = _mm512_fmadd_pd(factor, b0, sum[r][0]);
      sum[r][1] = _mm512_fmadd_pd(factor, b1, sum[r][1]);
      sum[r][2] = _mm512_fmadd_pd(factor, b2, sum[r][2]);
    }
  }
  const auto mask = [held_columns](int v) {
    const int64_t held = std::clamp<int64_t>(held_columns - 8 * v, 0, 8);
    return static_cast<__mmask8>((1U << held) - 1U);
  };
  const __mmask8 masks[3] = {mask(0), mask(1), mask(2)};
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
    if (r >= held_rows) break;
#pragma GCC unroll 3
    for (int v = 0; v < 3; ++v) {
      double* to = c + r * row_stride + 8 * v;
      _mm512_mask_storeu_pd(to, masks[v], _mm512_add_pd(_mm512_maskz_loadu_pd(masks[v], to), sum[r][v]));
    }
  }
}

// c += a·b for one tile of AVX2. Inlined, for the instructions of its caller: a template's own target attribute does
// nothing.
template <typename Vector, typename T>
__attribute__((always_inline)) inline void add_tile_of_avx2(const T* a, const T* b, int64_t depth, int64_t held_rows,
                                                            int64_t held_columns, T* c, int64_t row_stride) {
  constexpr int lanes = Avx2<T>::lanes, rows = Avx2<T>::rows, columns = Avx2<T>::columns;
  // The tile's place in c comes from memory meanwhile.
  for (int64_t r = 0; r < held_rows; ++r) {
    __builtin_prefetch(c + r * row_stride, 1);
    __builtin_prefetch(c + r * row_stride + held_columns - 1, 1);
  }
  Vector sum[rows][3];
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < 3; ++v) sum[r][v] = Vector{};
  }
  for (int64_t p = 0; p < depth; ++p, a += rows, b += columns) {
    const Vector* const of_b = reinterpret_cast<const Vector*>(b);
    const Vector b0 = of_b[0], b1 = of_b[1], b2 = of_b[2];
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      sum[r][0] += a[r] * b0;
      sum[r][1] += a[r] * b1;
      sum[r][2] += a[r] * b2;
    }
  }
  if (held_rows == rows && held_columns == columns) {
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 3
      for (int v = 0; v < 3; ++v) {
        T* const to = c + r * row_stride + lanes * v;
        Vector entries;
        std::memcpy(&entries, to, sizeof entries);  // a vector's own loads want it aligned
        entries += sum[r][v];
        std::memcpy(to, &entries, sizeof entries);
      }
    }
    return;
  }
  // Masked stores of AVX2 take longer than this on the processors that these tiles are for.
  alignas(32) T whole[rows][columns];
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < 3; ++v) *reinterpret_cast<Vector*>(whole[r] + lanes * v) = sum[r][v];
  }
  for (int64_t r = 0; r < held_rows; ++r)
    for (int64_t j = 0; j < held_columns; ++j) c[r * row_stride + j] += whole[r][j];
}

template <>
__attribute__((target("avx2,fma"))) void Avx2<double>::add_tile(const double* a, const double* b, int64_t depth,
                                                                int64_t held_rows, int64_t held_columns, double* c,
                                                                int64_t row_stride) {
  add_tile_of_avx2<__m256d>(a, b, depth, held_rows, held_columns, c, row_stride);
}

template <>
__attribute__((target("avx2,fma"))) void Avx2<float>::add_tile(const float* a, const float* b, int64_t depth,
                                                               int64_t held_rows, int64_t held_columns, float* c,
                                                               int64_t row_stride) {
  add_tile_of_avx2<__m256>(a, b, depth, held_rows, held_columns, c, row_stride);
}

#else

void Avx512::add_tile(const double*, const double*, int64_t, int64_t, int64_t, double*, int64_t) {}
void Avx512::solve_lanes(const double*, int64_t, int64_t, double*) {}
template <typename T>
void Avx2<T>::add_tile(const T*, const T*, int64_t, int64_t, int64_t, T*, int64_t) {}
template <typename T>
void Avx2<T>::solve_lanes(const T*, int64_t, int64_t, T*) {}

#endif

template <typename T>
bool uses_avx512(Instructions instructions) {
  return std::is_same_v<T, double> && instructions == Instructions::avx512;
}

}  // namespace

bool supports(Instructions instructions) {
  if (instructions == Instructions::avx512) return cpu::has_avx512();
  if (instructions == Instructions::avx2) return cpu::has_avx2();
  return instructions == Instructions::none;
}

Instructions best() {
  if (cpu::is_intel()) return Instructions::none;
  if (supports(Instructions::avx512)) return Instructions::avx512;
  return supports(Instructions::avx2) ? Instructions::avx2 : Instructions::none;
}

template <typename T>
Shape shape_of(Instructions instructions) {
  if (uses_avx512<T>(instructions)) return {Avx512::rows, Avx512::columns};
  return {Avx2<T>::rows, Avx2<T>::columns};
}

template <typename T>
void pack_rows(Instructions instructions, View<T> a, int64_t rows, int64_t depth, T scale, T* packed) {
  const auto pack = uses_avx512<T>(instructions) ? pack_rows_by<Avx512::rows, T> : pack_rows_by<Avx2<T>::rows, T>;
  pack(a, rows, depth, scale, packed);
}

template <typename T>
void pack_columns(Instructions instructions, View<T> b, int64_t depth, int64_t columns, T* packed) {
  const auto pack =
      uses_avx512<T>(instructions) ? pack_columns_by<Avx512::columns, T> : pack_columns_by<Avx2<T>::columns, T>;
  pack(b, depth, columns, packed);
}

template <typename T>
void add_product(Instructions instructions, const T* a, const T* b, int64_t rows, int64_t columns, int64_t depth, T* c,
                 int64_t row_stride, int64_t below) {
  if constexpr (std::is_same_v<T, double>) {
    if (instructions == Instructions::avx512)
      return add_product_by<Avx512>(a, b, rows, columns, depth, c, row_stride, below);
  }
  add_product_by<Avx2<T>>(a, b, rows, columns, depth, c, row_stride, below);
}

void solve_right(Instructions instructions, const double* lower, int64_t lower_stride, int64_t dim, double* target,
                 int64_t rows, int64_t row_stride) {
  const auto solve = instructions == Instructions::avx2 ? solve_right_by<Avx2<double>> : solve_right_by<Avx512>;
  solve(lower, lower_stride, dim, target, rows, row_stride);
}

template Shape shape_of<double>(Instructions);
template Shape shape_of<float>(Instructions);
template void pack_rows(Instructions, View<double>, int64_t, int64_t, double, double*);
template void pack_rows(Instructions, View<float>, int64_t, int64_t, float, float*);
template void pack_columns(Instructions, View<double>, int64_t, int64_t, double*);
template void pack_columns(Instructions, View<float>, int64_t, int64_t, float*);
template void add_product(Instructions, const double*, const double*, int64_t, int64_t, int64_t, double*, int64_t,
                          int64_t);
template void add_product(Instructions, const float*, const float*, int64_t, int64_t, int64_t, float*, int64_t,
                          int64_t);

}  // namespace ood::tile_product
