// Logarithms of determinants, by LU factors.
#include "statistics/log_determinant.h"

#include <ATen/ATen.h>
#include <ATen/native/BatchLinearAlgebra.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <numbers>
#include <vector>

#include "core/checks.h"
#include "core/errors.h"
#include "core/magnitude.h"
#include "core/parallel.h"
#include "platform/symbol_versions.h"
#include "statistics/symmetric.h"

namespace ood {

namespace {

struct LogDeterminant {
  double sign = 0, logarithm = 0;
  double largest_pivot = 0;  // in magnitude; NaN where one has overflowed
};

#ifndef _WIN32  // where libtorch does not export its LAPACK

// The matrix in float64 and the sum of its entries, from one pass: each costs as much as a part of what a factorisation
// does.
template <class Real>
double copy_and_sum(const at::Tensor& matrix, const at::Tensor& copy) {
  const Real* const from = matrix.const_data_ptr<Real>();
  double* const to = copy.mutable_data_ptr<double>();
  std::mutex mutex;
  double sum = 0;
  in_parallel_ranges(copy.numel(), 1 << 15, [&](int64_t first, int64_t last) {
    constexpr int64_t lanes = 8;
    std::array<double, lanes> part{};
    int64_t i = first;
    for (; i + lanes <= last; i += lanes) {
      for (int64_t j = 0; j < lanes; ++j) part[static_cast<size_t>(j)] += to[i + j] = static_cast<double>(from[i + j]);
    }
    for (; i < last; ++i) part[0] += to[i] = static_cast<double>(from[i]);
    const std::lock_guard lock(mutex);
    for (const double lane : part) sum += lane;
  });
  return sum;
}

// By LU factors of the transpose, whose columns are the rows of the matrix.
LogDeterminant cpu_log_determinant(const at::Tensor& matrix, const char* name) {
  const at::Tensor rows = matrix.contiguous(), factors = at::empty(rows.sizes(), rows.options().dtype(at::kDouble));
  const double sum =
      rows.scalar_type() == at::kFloat ? copy_and_sum<float>(rows, factors) : copy_and_sum<double>(rows, factors);
  if (!std::isfinite(sum)) require_finite(matrix, name);  // which lets a sum that overflows pass
  const auto dim = static_cast<int>(rows.size(0));
  std::vector<int> pivots(static_cast<size_t>(dim));
  int info = 0;
  double* const entries = factors.mutable_data_ptr<double>();
  at::native::lapackLu<double>(dim, dim, entries, dim, pivots.data(), &info);
  LogDeterminant result{1, 0};
  for (int i = 0; i < dim; ++i) {
    const double pivot = entries[static_cast<int64_t>(i) * (dim + 1)];
    if (!std::isfinite(pivot)) return {0, 0, std::nan("")};
    result.largest_pivot = std::max(result.largest_pivot, std::abs(pivot));
    if (pivot == 0) result.sign = 0;
    if ((pivot < 0) != (pivots[static_cast<size_t>(i)] != i + 1)) result.sign = -result.sign;
    result.logarithm += std::log(std::abs(pivot));
  }
  result.sign += 0;  // no negative zero for a singular matrix
  return result;
}

#endif

LogDeterminant plain_log_determinant(const at::Tensor& matrix, at::Device device, const char* name) {
#ifndef _WIN32
  if (device.is_cpu()) return cpu_log_determinant(matrix, name);
#endif
  require_finite(matrix, name);
  const auto [factors, pivots, info] = at::linalg_lu_factor_ex(matrix.to(device, at::kDouble));
  const at::Tensor diagonal = factors.diagonal().to(at::kCPU);
  if (!diagonal.isfinite().all().item<bool>()) return {0, 0, std::nan("")};
  const auto in_place = at::arange(1, diagonal.size(0) + 1, at::kInt);
  const bool negative = pivots.to(at::kCPU).ne(in_place).logical_xor_(diagonal.lt(0)).sum().item<int64_t>() % 2 != 0;
  const bool singular = diagonal.eq(0).any().item<bool>();
  return {singular   ? 0.0
          : negative ? -1.0
                     : 1.0,
          diagonal.abs().log_().sum().item<double>(), diagonal.abs().max().item<double>()};
}

// Where pivots overflow, or are so small that products of them lose digits, of the matrix in other units.
LogDeterminant log_determinant(const at::Tensor& matrix, at::Device device, const char* name) {
  const LogDeterminant plain = plain_log_determinant(matrix, device, name);
  if (extreme_exponent(plain.largest_pivot) >= 0 && !std::isnan(plain.largest_pivot)) return plain;
  const at::Tensor entries = matrix.to(at::kDouble);
  const int power = extreme_exponent(entries.abs().max().item<double>());
  LogDeterminant scaled = plain_log_determinant(times_power(entries, -power), device, name);
  if (std::isnan(scaled.largest_pivot)) fail("ERR_RANGE", name, ": a pivot of its LU factors overflows float64");
  scaled.logarithm += static_cast<double>(matrix.size(0)) * power * std::numbers::ln2;
  return scaled;
}

}  // namespace

NamedTensors log_determinants(const at::Tensor& matrix, c10::Device device, const Poll& poll) {
  std::vector<double> signs, logarithms;
  // One by one: libtorch 2.13 on a CPU gives wrong pivots for a batch of large matrices when it has several threads.
  for (const at::Tensor& one : each_matrix(matrix)) {
    poll();
    const LogDeterminant found = log_determinant(one, device, "matrix");
    signs.push_back(found.sign);
    logarithms.push_back(found.logarithm);
  }
  return {{"sign", at::tensor(signs, at::kDouble)}, {"logarithm", at::tensor(logarithms, at::kDouble)}};
}

}  // namespace ood
