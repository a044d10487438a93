// Tiles of every instruction set that this processor has, against products written out.
#include "kernels/tile_product.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/random.h"

namespace ood::tile_product {

namespace {

using tests::Aligned;
using tests::random_numbers;

int64_t round_up(int64_t size, int64_t multiple) { return (size + multiple - 1) / multiple * multiple; }

// Sizes around those of tiles (4 to 24 rows and columns), so that every kind of edge is met.
constexpr int64_t sizes[] = {1, 3, 7, 8, 13, 24, 25, 49};
constexpr int64_t depths[] = {1, 2, 5, 64, 129};

bool is_left_out(Instructions instructions) {
  if (supports(instructions)) return false;
  MESSAGE("left out: this processor has no ", std::string(instructions == Instructions::avx512 ? "AVX-512" : "AVX2"));
  return true;
}

template <class T>
T at(const View<T>& view, int64_t row, int64_t column) {
  return view.data[row * view.row_stride + column * view.column_stride];
}

// a·b with a view of each that lies by rows or by columns.
template <class T>
void check_product(Instructions instructions, int64_t rows, int64_t columns, int64_t depth, int64_t below,
                   bool by_columns) {
  const Shape shape = shape_of<T>(instructions);
  const auto a = random_numbers<T>(static_cast<size_t>(rows * depth), 1);
  const auto b = random_numbers<T>(static_cast<size_t>(depth * columns), 2);
  const int64_t row_stride = columns + 3;
  std::vector<T> c(static_cast<size_t>(rows * row_stride), T{0.25});
  Aligned<T> packed_a(round_up(rows, shape.rows) * depth), packed_b(round_up(columns, shape.columns) * depth);
  const View<T> view_a = by_columns ? View<T>{a.data(), 1, rows} : View<T>{a.data(), depth, 1};
  const View<T> view_b = by_columns ? View<T>{b.data(), 1, depth} : View<T>{b.data(), columns, 1};
  pack_rows<T>(instructions, view_a, rows, depth, T{2}, packed_a.data());
  pack_columns<T>(instructions, view_b, depth, columns, packed_b.data());
  add_product<T>(instructions, packed_a.data(), packed_b.data(), rows, columns, depth, c.data(), row_stride, below);
  // Each term is at most ½; a sum of `depth` of them is rounded as often.
  const double tolerance = 2 * static_cast<double>(depth) * std::numeric_limits<T>::epsilon();
  double worst = 0;
  bool untouched = true;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < row_stride; ++j) {
      const double found = c[static_cast<size_t>(i * row_stride + j)];
      if (j >= columns) {
        untouched = untouched && found == 0.25;
        continue;
      }
      if (j > i + below) continue;  // such a tile may or may not be computed
      double expected = 0.25;
      for (int64_t k = 0; k < depth; ++k) {
        expected += 2 * static_cast<double>(at(view_a, i, k)) * static_cast<double>(at(view_b, k, j));
      }
      worst = std::max(worst, std::abs(found - expected));
    }
  }
  CAPTURE(rows);
  CAPTURE(columns);
  CAPTURE(depth);
  CHECK(worst <= tolerance);
  CHECK(untouched);
}

template <class T>
void check_products(Instructions instructions) {
  if (is_left_out(instructions)) return;
  for (const int64_t rows : sizes) {
    for (const int64_t columns : sizes) {
      for (const int64_t depth : depths) {
        check_product<T>(instructions, rows, columns, depth, 1 << 30, false);
        check_product<T>(instructions, rows, columns, depth, 1 << 30, true);
      }
    }
    check_product<T>(instructions, rows, rows, 64, 0, false);
  }
}

void check_solutions(Instructions instructions) {
  if (is_left_out(instructions)) return;
  for (const int64_t dim : {1, 2, 7, 8, 9, 31, 64}) {
    for (const int64_t rows : {1, 4, 8, 13, 64}) {
      auto lower = random_numbers<double>(static_cast<size_t>(dim * dim), 3);
      for (int64_t i = 0; i < dim; ++i) {
        lower[static_cast<size_t>(i * dim + i)] += 4;  // well conditioned
        for (int64_t j = i + 1; j < dim; ++j) lower[static_cast<size_t>(i * dim + j)] = std::nan("");  // unread
      }
      const int64_t row_stride = dim + 5;
      const auto wanted = random_numbers<double>(static_cast<size_t>(rows * row_stride), 4);
      std::vector<double> target(wanted.size());
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < dim; ++j) {  // wanted·Lᵀ
          double sum = 0;
          for (int64_t k = 0; k <= j; ++k)
            sum += wanted[static_cast<size_t>(i * row_stride + k)] * lower[static_cast<size_t>(j * dim + k)];
          target[static_cast<size_t>(i * row_stride + j)] = sum;
        }
      }
      solve_right(instructions, lower.data(), dim, dim, target.data(), rows, row_stride);
      double worst = 0;
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < dim; ++j) {
          const auto at = static_cast<size_t>(i * row_stride + j);
          worst = std::max(worst, std::abs(target[at] - wanted[at]));
        }
      }
      CAPTURE(dim);
      CAPTURE(rows);
      CHECK(worst <= 1e-13);  // numbers up to ½, a condition number below 10, some hundred roundings of 1e-16
    }
  }
}

}  // namespace

TEST_CASE("tiles: float64 products by AVX2") { check_products<double>(Instructions::avx2); }
TEST_CASE("tiles: float64 products by AVX-512") { check_products<double>(Instructions::avx512); }
TEST_CASE("tiles: float32 products by AVX2") { check_products<float>(Instructions::avx2); }
TEST_CASE("tiles: triangles by AVX2") { check_solutions(Instructions::avx2); }
TEST_CASE("tiles: triangles by AVX-512") { check_solutions(Instructions::avx512); }

TEST_CASE("tiles: the best instructions are ones that the processor has") {
  CHECK(supports(best()));
  CHECK(supports(Instructions::none));
}

}  // namespace ood::tile_product
