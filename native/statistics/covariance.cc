// Covariance matrices in float64.
#include "statistics/covariance.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/errors.h"
#include "core/parallel.h"
#include "kernels/matrix_product.h"
#include "kernels/triangular.h"
#include "platform/symbol_versions.h"

namespace ood {

namespace {

constexpr double epsilon = std::numeric_limits<double>::epsilon();

// Powers of ten that a relative jitter may have. At 10^0 it always suffices: then min L_ii² ≥ tr/d, max L_ii² ≤
// (d+1)·tr/d, and no variance is more than d+1 times what it is given the others. Below 10^-30 it changes no diagonal entry of more than 1e-14 of the mean one.
constexpr int lowest_power = -30;
constexpr int highest_power = 0;

// Block rows of the Gram product: enough of them to spare work, wide enough for the matrix kernel to run at full speed.
int64_t gram_block(int64_t dim) { return std::max<int64_t>(128, (dim / 8 + 63) / 64 * 64); }

// What a feature's variance given all others must be of its own: 1000·d·eps.
double least_share_of_variance(int64_t dim) { return 1000 * least_share_of_diagonal(dim); }

// Below this dimension the inverse of a factor costs less than an estimate.
constexpr int64_t least_estimated = 128;

// Whether the largest eigenvalue of the inverse correlation matrix, which no entry of its diagonal exceeds, is surely
// below a limit: two steps of the power method on a few vectors are short of it by less than 10, and 100 is allowed for.
// `lower` is the factor of the covariance. An inverse would cost as much as the factor did.
bool surely_below(double limit, const at::Tensor& lower, const at::Tensor& deviations) {
  constexpr int64_t vectors = 4;
  const int64_t dim = lower.size(0);
  // Any directions serve that do not depend on the data.
  at::Tensor x = at::arange(1, vectors * dim + 1, lower.options()).mul_(12.9898).sin_().view({dim, vectors});
  double estimate = 0;
  for (int step = 0; step < 2; ++step) {
    x = (x / at::linalg_vector_norm(x, 2, at::IntArrayRef{0}, /*keepdim=*/true)).mul_(deviations.unsqueeze(1));
    x = at::linalg_solve_triangular(lower, x, /*upper=*/false);
    x = at::linalg_solve_triangular(lower.mT(), x, /*upper=*/true).mul_(deviations.unsqueeze(1));
    estimate = at::linalg_vector_norm(x, 2, at::IntArrayRef{0}).max().item<double>();
    if (!(100 * estimate <= limit)) return false;
  }
  return true;
}

bool try_safe_cholesky(const at::Tensor& covariance, double jitter, at::Tensor& lower) {
  if (cholesky_lower(covariance, jitter, lower) != 0) return false;
  const int64_t dim = covariance.size(0);
  const at::Tensor pivots = lower.diagonal();  // divided before they are squared, which may overflow
  if (!safely_positive((pivots / pivots.max()).square_(), least_share_of_diagonal(dim))) return false;
  const at::Tensor deviations = (covariance.diagonal() + jitter).sqrt_();
  const double most = 1 / least_share_of_variance(dim);
  if (dim >= least_estimated && surely_below(most, lower, deviations)) return true;
  // The root of a feature's variance times 1/(its variance given all others), which is (Σ⁻¹)_ii = Σ_k (L⁻¹)_ki².
  const at::Tensor inverse = inverse_of_lower(lower).mul_(deviations);
  const double inflation = at::linalg_vector_norm(inverse, 2, at::IntArrayRef{0}).max().item<double>();
  return std::isfinite(inflation) && inflation * inflation <= most;
}

}  // namespace

void add_lower_gram(const at::Tensor& target, const at::Tensor& rows) {
  if (has_tiles(target)) return add_product(target, rows.t(), rows, 1, Wanted::lower_triangle);
  const int64_t dim = rows.size(1);
  const int64_t block = gram_block(dim);
  for (int64_t start = 0; start < dim; start += block) {
    const int64_t end = std::min(start + block, dim);
    target.slice(0, start, end).slice(1, 0, end).addmm_(rows.slice(1, start, end).t(), rows.slice(1, 0, end));
  }
}

at::Tensor mirror_lower(const at::Tensor& matrix) {
  if (!matrix.is_cpu() || matrix.scalar_type() != at::kDouble) {
    return matrix.copy_(matrix.tril().add_(matrix.tril(-1).mT()));
  }
  // By tiles: to read or write a column fetches a cache line for every entry.
  constexpr int64_t tile = 32;
  const int64_t dim = matrix.size(0), stride = matrix.stride(0), tiles = (dim + tile - 1) / tile;
  double* const entries = matrix.mutable_data_ptr<double>();
  const auto mirror_row_of_tiles = [&](int64_t row) {
    const int64_t top = row * tile, bottom = std::min(dim, top + tile);
    for (int64_t left = 0; left < bottom; left += tile) {
      const int64_t right = std::min(bottom, left + tile);
      for (int64_t j = left; j < right; ++j) {
        for (int64_t i = std::max(top, j + 1); i < bottom; ++i) entries[j * stride + i] = entries[i * stride + j];
      }
    }
  };
  // A short and a long row of tiles together, so that threads have the same work.
  in_parallel_ranges((tiles + 1) / 2, 4, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      mirror_row_of_tiles(row);
      if (tiles - 1 - row != row) mirror_row_of_tiles(tiles - 1 - row);
    }
  });
  return matrix;
}

at::Tensor lower_times_vector(const at::Tensor& lower, const at::Tensor& vector) {
  const int64_t dim = vector.size(0);
  const int64_t block = gram_block(dim);
  at::Tensor product = at::empty_like(vector);
  for (int64_t start = 0; start < dim; start += block) {
    const int64_t end = std::min(start + block, dim);
    const at::Tensor part = vector.slice(0, start, end);
    const at::Tensor left = lower.slice(0, start, end).slice(1, 0, start);
    const at::Tensor corner = mirror_lower(lower.slice(0, start, end).slice(1, start, end).clone());
    at::Tensor own = product.slice(0, start, end);
    own.copy_(corner.mv(part));
    if (start > 0) {
      own.addmv_(left, vector.slice(0, 0, start));
      product.slice(0, 0, start).addmv_(left.t(), part);
    }
  }
  return product;
}

double squared_norm_of_lower(const at::Tensor& lower) {
  return 2 * lower.tril(-1).square_().sum().item<double>() + lower.diagonal().square().sum().item<double>();
}

at::Tensor pack_lower(const at::Tensor& lower) { return lower.masked_select(at::ones_like(lower, at::kBool).tril_()); }

at::Tensor unpack_lower(const at::Tensor& packed, int64_t dim) {
  const at::Tensor mask = at::ones({dim, dim}, packed.options().dtype(at::kBool)).tril_();
  return at::zeros({dim, dim}, packed.options()).masked_scatter_(mask, packed);
}

void shrink_covariance(const at::Tensor& covariance, double shrinkage) {
  const double mean_variance = covariance.diagonal().mean().item<double>();
  covariance.mul_(1 - shrinkage);
  covariance.diagonal().add_(shrinkage * mean_variance);
}

void keep_leading_axes(const at::Tensor& covariance, int64_t rank) {
  const int64_t dim = covariance.size(0);
  const auto [values, vectors] = at::linalg_eigh(covariance, "L");  // ascending
  const double noise = values.slice(0, 0, dim - rank).mean().clamp_min(0).item<double>();
  const at::Tensor axes = vectors.slice(1, dim - rank, dim);
  const at::Tensor excess = (values.slice(0, dim - rank, dim) - noise).clamp_min_(0);
  covariance.copy_((axes * excess).mm(axes.t()));
  covariance.diagonal().add_(noise);
}

double ledoit_wolf_shrinkage(const at::Tensor& covariance, double count, double fourth_ratio) {
  // In units of the mean variance, so that features of any magnitude neither overflow nor vanish: Σ‖y‖² is n·d then.
  const auto dim = static_cast<double>(covariance.size(0));
  const double mean_variance = covariance.diagonal().mean().item<double>();
  if (mean_variance == 0) return 0;
  const double squared_norm = squared_norm_of_lower(covariance / mean_variance);
  const double distance = (squared_norm - dim) / dim;                                     // δ²: from the identity
  const double spread = (fourth_ratio * count * dim * dim - squared_norm) / count / dim;  // β²: of the estimate
  if (distance <= 0) return 0;
  return std::max(0.0, std::min(spread, distance) / distance);
}

double oas_shrinkage(const at::Tensor& covariance, double count) {
  const auto dim = static_cast<double>(covariance.size(0));
  const double mean_variance = covariance.diagonal().mean().item<double>();
  if (mean_variance == 0) return 0;
  const double mean_square = squared_norm_of_lower(covariance / mean_variance) / (dim * dim);
  const double denominator = (count + 1) * (mean_square - 1 / dim);
  return denominator <= 0 ? 1 : std::min((mean_square + 1) / denominator, 1.0);
}

double least_share_of_diagonal(int64_t dim) { return static_cast<double>(dim) * epsilon; }

bool safely_positive(const at::Tensor& variances, double share) {
  const auto [low, high] = at::aminmax(variances);
  const double smallest = low.item<double>();
  return smallest > 0 && smallest >= share * high.item<double>();
}

double smallest_power_of_ten(double share, double scale, const std::function<bool(double)>& works) {
  // Gallops from where the answer usually is, then bisects.
  int fails = lowest_power - 1;
  int succeeds = highest_power;
  int power = std::min(highest_power, static_cast<int>(std::ceil(std::log10(share))) + 1);
  int stride = 1;
  while (succeeds - fails > 1) {
    const bool bracketed = fails >= lowest_power && succeeds < highest_power;
    if (works(std::pow(10.0, power) * scale)) {
      succeeds = power;
      power = bracketed ? (fails + succeeds) / 2 : power - stride;
    } else {
      fails = power;
      power = bracketed ? (fails + succeeds) / 2 : power + stride;
    }
    stride *= 2;
    if (power <= fails || power >= succeeds) power = static_cast<int>(std::floor((fails + succeeds) / 2.0));
  }
  return std::pow(10.0, succeeds) * scale;
}

double zero_covariance_jitter(int64_t dim, double scale) {
  return std::pow(10.0, std::ceil(std::log10(static_cast<double>(dim) * epsilon))) * scale;
}

CholeskyFactor safe_cholesky(const at::Tensor& covariance, double scale, const Poll& poll) {
  CholeskyFactor factor;
  if (try_safe_cholesky(covariance, 0, factor.lower)) return factor;
  if (!(scale > 0)) {
    fail("ERR_NOT_POSITIVE_DEFINITE", "covariance: expected some variance to scale the jitter by, found a trace of ",
         scale, " (in float64, deviations below 1e-162 have none)");
  }
  const int64_t dim = covariance.size(0);
  if (covariance.diagonal().max().item<double>() == 0) {
    factor.jitter = zero_covariance_jitter(dim, scale);
    factor.lower = at::eye(dim, covariance.options()) * std::sqrt(factor.jitter);
    return factor;
  }
  double held = -1;  // the jitter of the factor at hand
  factor.jitter = smallest_power_of_ten(least_share_of_variance(dim), scale, [&](double jitter) {
    poll();
    at::Tensor lower;
    const bool works = try_safe_cholesky(covariance, jitter, lower);
    if (works) {
      factor.lower = lower;
      held = jitter;
    }
    return works;
  });
  if (held != factor.jitter && !try_safe_cholesky(covariance, factor.jitter, factor.lower)) {
    fail("ERR_NOT_POSITIVE_DEFINITE", "covariance: no safe Cholesky factor with jitter ", factor.jitter);
  }
  return factor;
}

CholeskyFactor cholesky_with_jitter(const at::Tensor& covariance, double jitter) {
  CholeskyFactor factor{{}, jitter};
  const double largest = covariance.diagonal().max().item<double>();
  if (!std::isfinite(largest + jitter)) {
    fail("ERR_RANGE", "jitter: expected one that leaves the diagonal within float64, found ", jitter, " beside ",
         largest);
  }
  const int64_t pivot = cholesky_lower(covariance, jitter, factor.lower);
  if (pivot != 0) {
    fail("ERR_NOT_POSITIVE_DEFINITE", "covariance: with jitter ", jitter, " the leading minor of order ", pivot,
         " is not positive");
  }
  return factor;
}

double ddu_jitter(const std::vector<at::Tensor>& covariances, const Poll& poll) {
  std::vector<double> list{0, std::numeric_limits<double>::min()};
  for (int power = -308; power < 0; ++power) list.push_back(std::pow(10.0, power));
  // The pivot where a class failed depends only on the matrix above it. While a larger jitter changes none of those
  // diagonal entries, not even in the last bit, the factorisation fails there again: no need to run it.
  size_t suspect = 0;
  std::vector<double> failing;  // diagonal of the suspect up to its failing pivot, with the jitter that failed
  at::Tensor suspect_diagonal;
  for (const double jitter : list) {
    if (!failing.empty()) {
      const auto diagonal = suspect_diagonal.accessor<double, 1>();
      bool unchanged = true;
      for (size_t i = 0; i < failing.size() && unchanged; ++i)
        unchanged = diagonal[static_cast<int64_t>(i)] + jitter == failing[i];
      if (unchanged) continue;
    }
    bool works = true;
    for (size_t tried = 0; tried < covariances.size() && works; ++tried) {
      poll();
      const size_t index =
          (suspect + tried) % covariances.size();  // the one that failed last is the likeliest to fail again
      at::Tensor lower;
      const int64_t pivot = cholesky_lower(covariances[index], jitter, lower);
      if (pivot == 0) continue;
      works = false;
      suspect = index;
      suspect_diagonal = covariances[index].diagonal().to(at::kCPU).contiguous();
      const auto diagonal = suspect_diagonal.accessor<double, 1>();
      failing.resize(static_cast<size_t>(pivot));
      for (int64_t i = 0; i < pivot; ++i) failing[static_cast<size_t>(i)] = diagonal[i] + jitter;
    }
    if (works) return jitter;
  }
  fail("ERR_NOT_POSITIVE_DEFINITE",
       "covariance: no jitter of DDU's list, up to 0.1, makes every class positive definite");
}

}  // namespace ood
