// Matrix functions that JavaScript calls on whole matrices or batches of them.
#include "linalg.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/native/BatchLinearAlgebra.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "arguments.h"
#include "class_statistics.h"
#include "covariance.h"
#include "job.h"
#include "magnitude.h"
#include "matrix_product.h"
#include "named_state.h"
#include "parallel.h"
#include "symbol_versions.h"
#include "tensor.h"

namespace ood {

namespace {

constexpr int64_t chunk_rows = 4096;

at::Tensor matrices_argument(const Napi::Value& value, const char* name, bool square) {
  const at::Tensor tensor = tensor_argument(value, name, {at::kFloat, at::kDouble});
  if (tensor.dim() < 2 || tensor.numel() == 0)
    fail("ERR_SHAPE", name, ": expected [..., rows, columns], none 0, found ", tensor.sizes());
  if (square && tensor.size(-1) != tensor.size(-2))
    fail("ERR_SHAPE", name, ": expected square matrices, found ", tensor.sizes());
  return tensor;
}

// The matrices of a batch, one by one.
std::vector<at::Tensor> each(const at::Tensor& batch) {
  return batch.reshape({-1, batch.size(-2), batch.size(-1)}).unbind(0);
}

// Largest magnitude below and on the diagonal, and largest difference between an entry and its mirror image; `zero` is
// NaN where an entry is not finite.
template <class Real>
struct MirrorCheck {
  Real largest = 0, difference = 0, zero = 0;
};

// In one pass, since each costs as much as a part of what a factorisation does. By tiles, the mirrored one copied
// first: reading it by column would fetch each cache line anew for every entry where rows are a power of two apart.
template <class Real>
MirrorCheck<Real> check_mirror(const Real* entries, int64_t size) {
  constexpr int64_t tile = 32;
  using Lanes = std::array<Real, tile>;
  const int64_t tiles = (size + tile - 1) / tile;
  std::mutex mutex;
  MirrorCheck<Real> result;
  // A short and a long row of tiles together, so that threads have the same work.
  in_parallel_ranges((tiles + 1) / 2, 4, [&](int64_t first, int64_t last) {
    Lanes largest{}, difference{}, zero{};
    const auto check_row_of_tiles = [&](int64_t row) {
      const int64_t top = row * tile, bottom = std::min(size, top + tile);
      std::array<Lanes, tile> mirrored;
      for (int64_t left = 0; left < bottom; left += tile) {
        const int64_t width = std::min(size - left, tile);
        for (int64_t j = 0; j < width; ++j) {
          for (int64_t i = top; i < bottom; ++i)
            mirrored[static_cast<size_t>(i - top)][static_cast<size_t>(j)] = entries[(left + j) * size + i];
        }
        for (int64_t i = top; i < bottom; ++i) {
          const Lanes& mirror = mirrored[static_cast<size_t>(i - top)];
          const Real* const own = entries + i * size + left;
          const auto compare = [&](size_t count) {
            for (size_t j = 0; j < count; ++j) {
              const Real apart = own[j] - mirror[j];
              const Real magnitude = std::abs(own[j]), distance = std::abs(apart);
              largest[j] = magnitude > largest[j] ? magnitude : largest[j];
              difference[j] = distance > difference[j] ? distance : difference[j];
              zero[j] += apart * 0;
            }
          };
          width == tile ? compare(tile) : compare(static_cast<size_t>(width));  // a constant count is vectorised
        }
      }
    };
    for (int64_t row = first; row < last; ++row) {
      check_row_of_tiles(row);
      if (tiles - 1 - row != row) check_row_of_tiles(tiles - 1 - row);
    }
    const std::lock_guard lock(mutex);
    result.largest = std::max(result.largest, *std::max_element(largest.begin(), largest.end()));
    result.difference = std::max(result.difference, *std::max_element(difference.begin(), difference.end()));
    for (const Real lane : zero) result.zero += lane;
  });
  return result;
}

// The batch (in host memory) with both triangles of each matrix equal: the mean of the two where they differ. Throws
// ERR_NON_FINITE, or ERR_RANGE where a matrix differs from its transpose by more than rounding.
at::Tensor symmetric(const at::Tensor& batch, const char* name) {
  bool equal = true;
  const auto check = [&](const auto& found, double tolerance) {
    if (std::isnan(found.zero)) require_finite(batch, name);
    if (!(static_cast<double>(found.difference) <= tolerance * static_cast<double>(found.largest)))
      fail("ERR_RANGE", name, ": expected a symmetric matrix, found one that differs from its transpose");
    equal = equal && found.difference == 0;
  };
  for (const at::Tensor& one : each(batch.contiguous())) {
    if (one.scalar_type() == at::kFloat) {
      check(check_mirror(one.const_data_ptr<float>(), one.size(0)), 1e-4);
    } else {
      check(check_mirror(one.const_data_ptr<double>(), one.size(0)), 1e-10);
    }
  }
  if (equal) return batch;
  const at::Tensor lower = (batch + (batch.mT() - batch).div_(2)).tril_();
  return lower + lower.tril(-1).mT();
}

bool any_extreme(const at::Tensor& exponents) { return exponents.ne(0).any().item<bool>(); }

// Keeps the largest in magnitude: those above rcond times the largest, or `rank` of them. values [..., k] ≥ 0, in any
// order.
at::Tensor kept(const at::Tensor& values, int64_t rows, int64_t columns, std::optional<double> rcond,
                std::optional<int64_t> rank) {
  const at::Tensor largest = values.amax(-1, true);
  if (rank) {
    const at::Tensor place =
        values.argsort(/*stable=*/true, -1, /*descending=*/true).argsort(/*stable=*/true, -1, false);
    return place.lt(*rank).logical_and(values.gt(0));
  }
  const double epsilon = values.scalar_type() == at::kFloat ? std::numeric_limits<float>::epsilon()
                                                            : std::numeric_limits<double>::epsilon();
  return values.gt(largest * rcond.value_or(static_cast<double>(std::max(rows, columns)) * epsilon));
}

// Rows of one matrix [n, d], or those of them that `order` names, with their weights: read piece by piece in float64.
struct WeightedRows {
  at::Tensor x;
  at::Tensor weight;  // [n], float64
  bool weighted = false;
  at::Tensor order = {};  // indices of rows; undefined: all

  int64_t count() const { return order.defined() ? order.size(0) : x.size(0); }

  at::Tensor piece(const at::Tensor& of, int64_t start) const {
    const int64_t end = std::min(start + chunk_rows, count());
    const at::Tensor part = order.defined() ? of.index_select(0, order.slice(0, start, end)) : of.slice(0, start, end);
    return part.to(at::kDouble);
  }
};

// Brings the weights to units in which their sum neither overflows nor loses digits; the quotient stays the same.
// Returns ddof in these units.
double bring_to_unit(WeightedRows& rows, double ddof) {
  if (!rows.weighted || rows.count() == 0) return ddof;
  const at::Tensor counted = rows.order.defined() ? rows.weight.index_select(0, rows.order) : rows.weight;
  const int exponent = extreme_exponent(std::max(counted.max().item<double>(), ddof));
  rows.weight = times_power(rows.weight, -exponent);
  return std::ldexp(ddof, -exponent);
}

// target += Σ w (x − x̄)(x − x̄)ᵀ in its lower triangle, x̄ the weighted mean of these rows. Returns Σ w.
double add_scatter(const at::Tensor& target, const WeightedRows& rows, const Poll& poll) {
  if (rows.count() == 0) return 0;
  at::Tensor total_weight = at::zeros({}, rows.weight.options());
  for (int64_t start = 0; start < rows.count(); start += chunk_rows)
    total_weight.add_(rows.piece(rows.weight, start).sum());
  const double total = total_weight.item<double>();
  if (!(total > 0)) return 0;
  at::Tensor mean = at::zeros({rows.x.size(1)}, target.options());
  at::Tensor rest = at::zeros_like(mean);  // what the first pass lost to rounding
  at::Tensor lowest = at::full_like(mean, std::numeric_limits<double>::infinity()), highest = -lowest;
  for (int64_t start = 0; start < rows.count(); start += chunk_rows) {
    poll();
    const at::Tensor x = rows.piece(rows.x, start), weight = rows.piece(rows.weight, start);
    mean.addmv_(x.t(), weight / total);
    const at::Tensor counted = rows.weighted ? x.index_select(0, weight.nonzero().squeeze(1)) : x;
    if (counted.size(0) == 0) continue;
    lowest = at::minimum(lowest, counted.amin(0));
    highest = at::maximum(highest, counted.amax(0));
  }
  mean = at::clamp(mean, lowest, highest);  // so that equal rows have no variance at all
  for (int64_t start = 0; start < rows.count(); start += chunk_rows) {
    poll();
    rest.addmv_((rows.piece(rows.x, start) - mean).t(), rows.piece(rows.weight, start) / total);
  }
  for (int64_t start = 0; start < rows.count(); start += chunk_rows) {
    poll();
    const at::Tensor centred = (rows.piece(rows.x, start) - mean).sub_(rest);
    if (rows.weighted) centred.mul_(rows.piece(rows.weight, start).sqrt().unsqueeze(1));
    add_lower_gram(target, centred);
  }
  return total;
}

at::Tensor divided(const at::Tensor& scatter, double weight, double ddof, const std::string& of) {
  if (!(weight - ddof > 0)) fail("ERR_SHAPE", "x: a total weight of ", weight, of, " is too little for ddof ", ddof);
  return within_range(mirror_lower(scatter.div_(weight - ddof)), "x: the covariance");
}

at::Tensor square_zeros(const at::Tensor& like) {
  return at::zeros({like.size(1), like.size(1)}, like.options().dtype(at::kDouble));
}

// Covariances within classes [C, d, d], or pooled over the classes with weight [d, d].
at::Tensor covariance_within(const WeightedRows& all, const at::Tensor& labels, int64_t classes, bool pooled,
                             double ddof, const Poll& poll) {
  const at::Tensor order = labels.argsort(/*stable=*/true, 0, false);
  const at::Tensor sizes = at::bincount(labels, {}, classes);
  at::Tensor scatter = square_zeros(all.x);
  std::vector<at::Tensor> own;
  double total = 0;
  int64_t present = 0, start = 0;
  for (int64_t c = 0; c < classes; ++c) {
    const int64_t end = start + sizes[c].item<int64_t>();
    WeightedRows rows = all;
    rows.order = order.slice(0, start, end).to(all.x.device());
    start = end;
    double own_ddof = ddof;
    if (!pooled) {
      scatter = square_zeros(all.x);
      own_ddof = bring_to_unit(rows, ddof);
    }
    const double weight = add_scatter(scatter, rows, poll);
    total += weight;
    present += weight > 0 ? 1 : 0;
    if (!pooled) own.push_back(divided(scatter, weight, own_ddof, " in class " + std::to_string(c)));
  }
  return pooled ? divided(scatter, total, ddof * static_cast<double>(present), "") : at::stack(own);
}

// covariance(control, x, { weights?, labels?, numClasses?, of, ddof }, device): of = "global" [..., d, d], "pooled"
// [d, d] or "classes" [C, d, d], the last two with labels
Napi::Value covariance(const Napi::CallbackInfo& info) {
  const at::Tensor x = matrices_argument(info[1], "x", false);
  const Napi::Object options = object_argument(info[2], "options");
  const at::Tensor given = optional_tensor_argument(options.Get("weights"), "weights", {at::kFloat, at::kDouble});
  const double ddof = number_argument(options.Get("ddof"), "ddof", 0);
  const std::string of = string_argument(options.Get("of"), "of");
  if (of != "global" && of != "pooled" && of != "classes")
    fail("ERR_OPTION", "of: expected \"global\", \"pooled\" or \"classes\", found \"", of, "\"");
  at::Tensor labels;
  int64_t classes = 0;
  if (of != "global") {
    if (x.dim() != 2) fail("ERR_SHAPE", "x: expected [n, d] with labels, found ", x.sizes());
    labels = labels_argument(options.Get("labels"), "labels");
    classes = integer_argument(options.Get("numClasses"), "numClasses", 1, 1 << 24);
    require_pairs(x, labels);
  }
  const c10::IntArrayRef rows_shape = x.sizes().slice(0, static_cast<size_t>(x.dim() - 1));
  if (given.defined() && given.sizes() != rows_shape && given.sizes() != rows_shape.slice(rows_shape.size() - 1)) {
    fail("ERR_SHAPE", "weights: expected ", rows_shape, " or [", x.size(-2), "] as x has rows, found ", given.sizes());
  }
  const c10::Device device = device_argument(info[3], "device");
  return submit<at::Tensor>(
      info, device,
      [=](JobContext& job) {
        const at::NoGradGuard no_grad;
        const Poll poll = [&job] { job.check(); };
        require_finite(x, "x");
        if (labels.defined()) require_labels(labels, classes, "labels");
        if (given.defined()) {
          require_finite(given, "weights");
          if (given.lt(0).any().item<bool>()) fail("ERR_RANGE", "weights: expected none below 0");
        }
        const at::Tensor weights =
            given.defined() ? given.to(at::kDouble) : at::ones({x.size(-2)}, x.options().dtype(at::kDouble));
        if (labels.defined()) {
          WeightedRows rows{x.to(device), weights.to(device), given.defined()};
          const bool pooled = of == "pooled";
          const double unit_ddof = pooled ? bring_to_unit(rows, ddof) : ddof;
          return covariance_within(rows, labels, classes, pooled, unit_ddof, poll).to(at::kCPU);
        }
        const std::vector<at::Tensor> matrices = each(x);
        const at::Tensor weight_of = weights.expand(x.sizes().slice(0, static_cast<size_t>(x.dim() - 1)))
                                         .reshape({static_cast<int64_t>(matrices.size()), x.size(-2)});
        std::vector<at::Tensor> found;
        for (size_t i = 0; i < matrices.size(); ++i) {
          WeightedRows rows{matrices[i].to(device), weight_of[static_cast<int64_t>(i)].to(device), given.defined()};
          const double unit_ddof = bring_to_unit(rows, ddof);
          const at::Tensor scatter = square_zeros(rows.x);
          found.push_back(divided(scatter, add_scatter(scatter, rows, poll), unit_ddof, "").to(at::kCPU));
        }
        if (x.dim() == 2) return found[0];
        std::vector<int64_t> shape = x.sizes().vec();
        shape[shape.size() - 2] = shape.back();
        return at::stack(found).reshape(shape);
      },
      [](Napi::Env env, at::Tensor& result) { return Tensor::wrap(env, result); });
}

// Whether products of such a matrix are made of tiles.
bool is_tiled(const at::Tensor& matrix) {
  return matrix.dim() == 2 && matrix.scalar_type() == at::kDouble && has_tiles(matrix);
}

// pinv(control, matrix, { rcond?, rank?, hermitian }, device)
Napi::Value pinv(const Napi::CallbackInfo& info) {
  const Napi::Object options = object_argument(info[2], "options");
  const bool hermitian = boolean_argument(options.Get("hermitian"), "hermitian");
  const at::Tensor matrix = matrices_argument(info[1], "matrix", hermitian);
  std::optional<double> rcond;
  std::optional<int64_t> rank;
  if (!options.Get("rcond").IsUndefined()) rcond = number_argument(options.Get("rcond"), "rcond", 0, 1);
  if (!options.Get("rank").IsUndefined())
    rank = integer_argument(options.Get("rank"), "rank", 0, std::min(matrix.size(-1), matrix.size(-2)));
  const c10::Device device = device_argument(info[3], "device");
  return submit<at::Tensor>(
      info, device,
      [=](JobContext&) {
        const at::NoGradGuard no_grad;
        if (!hermitian) require_finite(matrix, "matrix");
        const at::Tensor given = hermitian ? symmetric(matrix, "matrix") : matrix;
        return pseudoinverse(given.to(device), rcond, rank, hermitian).to(at::kCPU);
      },
      [](Napi::Env env, at::Tensor& result) { return Tensor::wrap(env, result); });
}

// One matrix as a batch of its own needs no copy.
at::Tensor stacked(const std::vector<at::Tensor>& matrices) {
  return matrices.size() == 1 ? matrices[0].unsqueeze(0) : at::stack(matrices);
}

// The even exponent e for which a matrix times 2^-e, which has the factor times 2^(-e/2), keeps the digits that
// products of its own entries lose to underflow. Entries are only made larger, which is exact.
int tiny_exponent(const at::Tensor& matrix, double jitter) {
  const int exponent = extreme_exponent(std::max(matrix.diagonal().max().item<double>(), jitter));
  return exponent < 0 ? exponent - exponent % 2 : 0;
}

void bring_back(CholeskyFactor& factor, int exponent) {
  if (exponent != 0) factor.lower.mul_(std::ldexp(1, exponent / 2));
}

// Jitter relative to the mean of the diagonal.
CholeskyFactor relative_cholesky(const at::Tensor& matrix, const Poll& poll) {
  const int exponent = tiny_exponent(matrix, 0);
  const at::Tensor larger = times_power(matrix, -exponent);
  const auto dim = static_cast<double>(matrix.size(0));
  const double scale = larger.diagonal().div(dim).sum().item<double>();
  if (!std::isfinite(scale)) fail("ERR_RANGE", "matrix: the mean of its diagonal overflows float64");
  CholeskyFactor factor = safe_cholesky(larger, scale, poll);
  bring_back(factor, exponent);
  const double jitter = std::ldexp(factor.jitter, exponent);
  if (factor.jitter > 0 && jitter < std::numeric_limits<double>::min())
    fail("ERR_RANGE", "matrix: expected entries whose jitter is a float64, found a mean of the diagonal of ",
         std::ldexp(scale, exponent));
  factor.jitter = jitter;
  return factor;
}

// With a jitter that is given.
CholeskyFactor given_cholesky(const at::Tensor& matrix, double jitter) {
  const int exponent = tiny_exponent(matrix, jitter);
  CholeskyFactor factor = cholesky_with_jitter(times_power(matrix, -exponent), std::ldexp(jitter, -exponent));
  bring_back(factor, exponent);
  factor.jitter = jitter;
  return factor;
}

// cholesky(control, matrix, jitter, device): factor and jitter [batch]; jitter = "relative", "ddu" (one for all) or a
// number
Napi::Value cholesky(const Napi::CallbackInfo& info) {
  const at::Tensor matrix = matrices_argument(info[1], "matrix", true);
  const bool fixed = info[2].IsNumber();
  const double fixed_jitter = fixed ? number_argument(info[2], "jitter", 0) : 0;
  const std::string rule = fixed ? "" : string_argument(info[2], "jitter");
  if (!fixed && rule != "relative" && rule != "ddu")
    fail("ERR_OPTION", "jitter: expected \"relative\", \"ddu\" or a number, found \"", rule, "\"");
  const c10::Device device = device_argument(info[3], "device");
  return submit<NamedState>(
      info, device,
      [=](JobContext& job) {
        const at::NoGradGuard no_grad;
        const Poll poll = [&job] { job.check(); };
        const std::vector<at::Tensor> matrices = each(symmetric(matrix, "matrix").to(device, at::kDouble));
        const double common = rule == "ddu" ? ddu_jitter(matrices, poll) : fixed_jitter;
        std::vector<at::Tensor> factors;
        std::vector<double> jitters;
        for (const at::Tensor& one : matrices) {
          poll();
          const CholeskyFactor factor = rule == "relative" ? relative_cholesky(one, poll) : given_cholesky(one, common);
          factors.push_back(factor.lower);
          jitters.push_back(factor.jitter);
        }
        const at::Tensor factor = within_range(
            stacked(factors).reshape(matrix.sizes()).to(at::kCPU, matrix.scalar_type()), "matrix: its factor");
        return NamedState{{"factor", factor}, {"jitter", at::tensor(jitters, at::kDouble)}};
      },
      [](Napi::Env env, NamedState& state) { return state_to_js(env, state); });
}

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

// logdet(control, matrix, device): sign and log |det|, [batch] each
Napi::Value logdet(const Napi::CallbackInfo& info) {
  const at::Tensor matrix = matrices_argument(info[1], "matrix", true);
  const c10::Device device = device_argument(info[2], "device");
  return submit<NamedState>(
      info, device,
      [=](JobContext& job) {
        const at::NoGradGuard no_grad;
        std::vector<double> signs, logarithms;
        // One by one: libtorch 2.13 on a CPU gives wrong pivots for a batch of large matrices when it has several
        // threads.
        for (const at::Tensor& one : each(matrix)) {
          job.check();
          const LogDeterminant found = log_determinant(one, device, "matrix");
          signs.push_back(found.sign);
          logarithms.push_back(found.logarithm);
        }
        return NamedState{{"sign", at::tensor(signs, at::kDouble)}, {"logarithm", at::tensor(logarithms, at::kDouble)}};
      },
      [](Napi::Env env, NamedState& state) { return state_to_js(env, state); });
}

// eigh(control, matrix, device): values [..., n] ascending, vectors [..., n, n] in columns
Napi::Value eigh(const Napi::CallbackInfo& info) {
  const at::Tensor matrix = matrices_argument(info[1], "matrix", true);
  const c10::Device device = device_argument(info[2], "device");
  return submit<NamedState>(
      info, device,
      [=](JobContext&) {
        const at::NoGradGuard no_grad;
        at::Tensor given = symmetric(matrix, "matrix");
        const at::Tensor exponents = extreme_exponents(given);
        const bool extreme = any_extreme(exponents);
        if (extreme) given = times_power(given, exponents.neg());
        // LAPACK works by columns: of the transpose it needs a plain copy.
        auto [values, vectors] = at::linalg_eigh(given.mT().to(device));
        values = values.to(at::kCPU);
        if (extreme) values = within_range(times_power(values, exponents.squeeze(-1)), "matrix: an eigenvalue");
        // Columns from LAPACK to rows: not left to the JavaScript thread, which it would hold up.
        return NamedState{{"values", values}, {"vectors", vectors.to(at::kCPU).contiguous()}};
      },
      [](Napi::Env env, NamedState& state) { return state_to_js(env, state); });
}

// svdvals(control, matrix, device): [..., min(m, n)] descending
Napi::Value svdvals(const Napi::CallbackInfo& info) {
  const at::Tensor matrix = matrices_argument(info[1], "matrix", false);
  const c10::Device device = device_argument(info[2], "device");
  return submit<at::Tensor>(
      info, device,
      [=](JobContext&) {
        const at::NoGradGuard no_grad;
        require_finite(matrix, "matrix");
        // LAPACK takes four times as long for the transpose of a tall matrix.
        const bool wide = matrix.size(-1) > matrix.size(-2);
        const at::Tensor exponents = extreme_exponents(matrix);
        const bool extreme = any_extreme(exponents);
        const at::Tensor given = extreme ? times_power(matrix, exponents.neg()) : matrix;
        const at::Tensor values = at::linalg_svdvals((wide ? given.mT() : given).to(device)).to(at::kCPU);
        return extreme ? within_range(times_power(values, exponents.squeeze(-1)), "matrix: a singular value") : values;
      },
      [](Napi::Env env, at::Tensor& result) { return Tensor::wrap(env, result); });
}

constexpr const char* pinv_overflow = "matrix: its pseudoinverse";

// The pseudoinverse of matrices of ordinary magnitudes.
at::Tensor plain_pseudoinverse(const at::Tensor& matrix, std::optional<double> rcond, std::optional<int64_t> rank,
                               bool hermitian) {
  if (hermitian) {
    const auto [values, vectors] = at::linalg_eigh(matrix);
    const at::Tensor keep = kept(values.abs(), matrix.size(-2), matrix.size(-1), rcond, rank);
    const at::Tensor scaled = vectors * at::where(keep, values.reciprocal(), at::zeros_like(values)).unsqueeze(-2);
    if (!is_tiled(scaled)) return scaled.matmul(vectors.mT());
    const at::Tensor inverse = at::zeros(matrix.sizes(), matrix.options());
    add_product(inverse, scaled, vectors.mT(), 1, Wanted::lower_triangle);
    return mirror_lower(inverse);
  }
  const auto [left, values, right] = at::linalg_svd(matrix, /*full_matrices=*/false);
  const at::Tensor keep = kept(values, matrix.size(-2), matrix.size(-1), rcond, rank);
  const at::Tensor scaled = right.mT() * at::where(keep, values.reciprocal(), at::zeros_like(values)).unsqueeze(-2);
  if (!is_tiled(scaled)) return scaled.matmul(left.mT());
  at::Tensor inverse = at::empty({matrix.size(1), matrix.size(0)}, matrix.options());
  set_product(inverse, scaled, left.mT());
  return inverse;
}

}  // namespace

at::Tensor pseudoinverse(const at::Tensor& matrix, std::optional<double> rcond, std::optional<int64_t> rank,
                         bool hermitian) {
  const at::Tensor exponents = extreme_exponents(matrix);
  if (!any_extreme(exponents)) return within_range(plain_pseudoinverse(matrix, rcond, rank, hermitian), pinv_overflow);
  const at::Tensor inverse = plain_pseudoinverse(times_power(matrix, exponents.neg()), rcond, rank, hermitian);
  return within_range(times_power(inverse, exponents.neg()), pinv_overflow);
}

void define_linalg(Napi::Env env, Napi::Object exports) {
  Napi::Object linalg = Napi::Object::New(env);
  linalg.Set("covariance", function<covariance>(env, "covariance"));
  linalg.Set("pinv", function<pinv>(env, "pinv"));
  linalg.Set("cholesky", function<cholesky>(env, "cholesky"));
  linalg.Set("logdet", function<logdet>(env, "logdet"));
  linalg.Set("eigh", function<eigh>(env, "eigh"));
  linalg.Set("svdvals", function<svdvals>(env, "svdvals"));
  exports.Set("linalg", linalg);
}

}  // namespace ood
