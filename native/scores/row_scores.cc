// Scores that a row's own numbers give.
#include "scores/row_scores.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "core/errors.h"
#include "core/parallel.h"
#include "platform/symbol_versions.h"

namespace ood {

namespace {

constexpr int64_t elements_per_step = 1 << 22;    // some tens of milliseconds on one core
constexpr int64_t elements_per_thread = 1 << 14;  // at least, so that a thread is worth its start

template <class Number>
int64_t largest_of(const Number* row, int64_t columns) {
  return std::max_element(row, row + columns) - row;
}

// What the scores of logits are made of: the largest; and of the others, with u = (top − l) / T, the sums of e^−u and
// u·e^−u. The largest one's own e^0 is left out: beside it the others of a sure row have no digits.
struct RowSums {
  double top = 0, others = 0, weighted = 0;
};

template <class Number>
RowSums sums_of(const Number* row, int64_t columns, double temperature) {
  const int64_t best = largest_of(row, columns);
  RowSums sums;
  sums.top = row[best];
  for (int64_t i = 0; i < columns; ++i) {
    if (i == best) continue;
    const double logit = row[i], apart = sums.top - logit;
    const double below = std::isfinite(apart) ? apart / temperature : sums.top / temperature - logit / temperature;
    const double weight = std::exp(-below);
    if (weight == 0) continue;
    sums.others += weight;
    sums.weighted += below * weight;
  }
  return sums;
}

template <class Number>
double margin_of(const Number* row, int64_t columns) {
  if (columns == 1) return 0;
  double top = -std::numeric_limits<double>::infinity(), second = top;
  for (int64_t i = 0; i < columns; ++i) {
    const double value = row[i];
    second = std::max(second, std::min(value, top));
    top = std::max(top, value);
  }
  return top - second;
}

// Divided by the largest entry first, so that no square overflows or vanishes.
template <class Number>
double length_of(const Number* row, int64_t columns) {
  double largest = 0;
  for (int64_t i = 0; i < columns; ++i) largest = std::max(largest, std::abs(static_cast<double>(row[i])));
  if (largest == 0) return 0;
  double sum = 0;
  for (int64_t i = 0; i < columns; ++i) {
    const double share = row[i] / largest;
    sum += share * share;
  }
  return largest * std::sqrt(sum);
}

template <class Number>
double score_of(const Number* row, int64_t columns, const RowScoreOptions& options) {
  const auto sums = [&] { return sums_of(row, columns, options.temperature); };
  switch (options.quantity) {
    case RowQuantity::max_softmax:
      return 1 / (1 + sums().others);
    case RowQuantity::negative_entropy: {
      const RowSums of = sums();
      return -(std::log1p(of.others) + of.weighted / (1 + of.others));
    }
    case RowQuantity::energy: {
      const RowSums of = sums();
      return of.top + options.temperature * std::log1p(of.others);
    }
    case RowQuantity::max_logit:
      return row[largest_of(row, columns)];
    case RowQuantity::margin:
      return margin_of(row, columns);
    case RowQuantity::length:
      return length_of(row, columns);
    case RowQuantity::predicted_class:
      return static_cast<double>(largest_of(row, columns));
  }
  return 0;
}

const char* noun_of(RowQuantity quantity) {
  switch (quantity) {
    case RowQuantity::energy:
      return "energy";
    case RowQuantity::length:
      return "length";
    case RowQuantity::margin:
      return "margin";
    default:
      return "score";
  }
}

// The least row that something was found in.
class FirstRow {
 public:
  void found(int64_t row) {
    int64_t least = row_.load();
    while (row < least && !row_.compare_exchange_weak(least, row)) {
    }
  }
  bool none() const { return row_.load() == std::numeric_limits<int64_t>::max(); }
  int64_t row() const { return row_.load(); }

 private:
  std::atomic<int64_t> row_{std::numeric_limits<int64_t>::max()};
};

// Rows `start` … `end` − 1.
template <class Number>
void score_rows(const at::Tensor& matrix, at::Tensor& scores, int64_t start, int64_t end,
                const RowScoreOptions& options) {
  const int64_t columns = matrix.size(1);
  const Number* data = matrix.const_data_ptr<Number>();
  double* out = scores.mutable_data_ptr<double>();
  FirstRow spoilt, beyond;
  in_parallel_ranges(end - start, std::max<int64_t>(1, elements_per_thread / columns),
                     [&](int64_t first, int64_t last) {
                       for (int64_t i = start + first; i < start + last; ++i) {
                         const Number* row = data + i * columns;
                         if (!std::all_of(row, row + columns, [](Number value) { return std::isfinite(value); }))
                           return spoilt.found(i);
                         out[i] = score_of(row, columns, options);
                         if (!std::isfinite(out[i])) beyond.found(i);
                       }
                     });
  if (!spoilt.none()) {
    const Number* row = data + spoilt.row() * columns;
    const Number value = *std::find_if(row, row + columns, [](Number each) { return !std::isfinite(each); });
    fail("ERR_NON_FINITE", options.name, ": expected finite numbers, found ",
         std::isnan(value) ? "NaN"
         : value > 0       ? "Infinity"
                           : "-Infinity",
         " in row ", spoilt.row());
  }
  if (!beyond.none()) {
    fail("ERR_RANGE", options.name, ": expected rows whose ", noun_of(options.quantity),
         " is within float64, found row ", beyond.row(), " beyond");
  }
}

}  // namespace

Task<at::Tensor> row_scores(at::Tensor matrix, RowScoreOptions options) {
  matrix = matrix.contiguous();
  const int64_t count = matrix.size(0), piece = std::max<int64_t>(1, elements_per_step / matrix.size(1));
  at::Tensor scores = at::empty({count}, at::kDouble);
  for (int64_t start = 0; start < count; start += piece) {
    if (start > 0) co_await next_turn;
    const int64_t end = std::min(start + piece, count);
    if (matrix.scalar_type() == at::kFloat) {
      score_rows<float>(matrix, scores, start, end, options);
    } else {
      score_rows<double>(matrix, scores, start, end, options);
    }
  }
  co_return scores;
}

}  // namespace ood
