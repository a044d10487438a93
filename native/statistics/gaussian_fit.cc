// The fit of Gaussian class densities to class moments: one function per kind of covariance.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/errors.h"
#include "statistics/class_parallel.h"
#include "statistics/gaussian_density.h"

namespace ood {

namespace {

bool is_relative(JitterRule rule) { return rule == JitterRule::per_class || rule == JitterRule::shared; }

// ERR_RANGE where the mean of a class or the squares of its deviations are beyond float64.
void require_within_float64(const ClassMoments& moments, const ClassLabels& named,
                            const std::vector<int64_t>& present) {
  const at::Tensor finite = moments.traces().isfinite().logical_and_(moments.mean().isfinite().all(1)).to(at::kCPU);
  if (finite.all().item<bool>() && std::isfinite(moments.traces().sum().item<double>())) return;
  for (const int64_t m : present) {
    if (finite[m].item<bool>()) continue;
    fail("ERR_RANGE", "features: expected deviations from the class means whose squares add up to less than 1.8e308, ",
         "found greater ones in class ", named.labels[static_cast<size_t>(m)]);
  }
  fail("ERR_RANGE", "features: expected deviations from the class means whose squares add up to less than 1.8e308");
}

// ERR_RANGE where the smallest variance of a class (of all where `label` is below 0) is too small to have all digits.
void require_digits(double variance, int64_t label) {
  if (variance >= std::numeric_limits<double>::min()) return;
  fail("ERR_RANGE", "features: expected variances of at least 2.2e-308, which have all digits in float64, found ",
       variance, label < 0 ? "" : " in class " + std::to_string(label));
}

void require_rank(const DensityOptions& options, int64_t dim) {
  if (options.covariance != CovarianceKind::low_rank || (options.rank >= 1 && options.rank < dim)) return;
  if (dim == 1) fail("ERR_RANGE", "covariance: \"low-rank\" is for 2 dimensions or more, found 1");
  fail("ERR_RANGE", "rank: expected 1 to ", dim - 1, ", found ", options.rank);
}

}  // namespace

ScatterKind scatter_for(CovarianceKind covariance) {
  if (covariance == CovarianceKind::tied) return ScatterKind::pooled;
  if (covariance == CovarianceKind::diagonal) return ScatterKind::diagonal;
  return covariance == CovarianceKind::ledoit_wolf ? ScatterKind::full : ScatterKind::matrices;
}

// One fit. Classes are counted among those with samples.
class GaussianFit {
 public:
  GaussianFit(ClassMoments& moments, const ClassLabels& named, const DensityOptions& options, bool consume,
              const Poll& poll)
      : moments_(moments), options_(options), consume_(consume), poll_(poll), present_(moments.present()) {
    require_rank(options, moments.dim());
    if (present_.empty()) fail("ERR_SHAPE", "statistics: expected at least one sample, found none");
    require_within_float64(moments, named, present_);
    name_classes(named);
    const at::Tensor index = at::tensor(present_, at::kLong).to(moments.device());
    density_.mean_ = moments.mean().index_select(0, index);
    density_.mean_low_ = moments.mean_low().index_select(0, index);
    pooled_divisor_ = std::max(1.0, static_cast<double>(moments.total()) - static_cast<double>(classes()));
    traces_ = moments.traces().index_select(0, index).to(at::kCPU);
    pooled_scale_ = traces_.sum().item<double>() / pooled_divisor_ / static_cast<double>(moments.dim());
    for (int64_t c = 0; c < classes(); ++c) {
      if (count_of(c) > 1 && trace_of(c) == 0) density_.without_variance_.push_back(label_of(c));
    }
  }

  GaussianDensity run() {
    if (options_.covariance == CovarianceKind::diagonal) {
      fit_diagonal();
    } else if (options_.covariance == CovarianceKind::tied) {
      fit_tied();
    } else {
      fit_class_by_class();
    }
    return std::move(density_);
  }

 private:
  void name_classes(const ClassLabels& named) {
    density_.options_ = options_;
    density_.counts_.assign(static_cast<size_t>(named.count), 0);
    density_.jitter_.assign(static_cast<size_t>(named.count), 0);
    density_.shrinkage_.assign(static_cast<size_t>(named.count), 0);
    for (const int64_t m : present_) {
      density_.labels_.push_back(named.labels[static_cast<size_t>(m)]);
      density_.counts_[static_cast<size_t>(density_.labels_.back())] = moments_.counts()[static_cast<size_t>(m)];
    }
  }

  int64_t classes() const { return static_cast<int64_t>(present_.size()); }
  int64_t label_of(int64_t c) const { return density_.labels_[static_cast<size_t>(c)]; }
  int64_t moment_of(int64_t c) const { return present_[static_cast<size_t>(c)]; }
  double count_of(int64_t c) const { return static_cast<double>(density_.count_of(c)); }
  double trace_of(int64_t c) const { return traces_[c].item<double>(); }
  double& jitter_of(int64_t c) { return density_.jitter_[static_cast<size_t>(label_of(c))]; }

  // What a class's jitter is a multiple of: its mean variance, or the pooled one where it has none of its own.
  double scale_of(int64_t c) const {
    if (count_of(c) < 2 || trace_of(c) == 0) return pooled_scale_;
    return trace_of(c) / std::max(1.0, count_of(c) - 1) / static_cast<double>(moments_.dim());
  }

  void fit_diagonal() {
    density_.deviation_ = at::empty_like(density_.mean_);
    const at::Tensor scatter = moments_.scatter_diagonals();
    std::vector<at::Tensor> variances;
    for (int64_t c = 0; c < classes(); ++c) variances.push_back(scatter[moment_of(c)] / std::max(1.0, count_of(c) - 1));
    double jitter = options_.fixed_jitter;
    if (options_.jitter == JitterRule::shared) {
      for (int64_t c = 0; c < classes(); ++c) jitter = std::max(jitter, diagonal_jitter(variances[index(c)], c));
    } else if (options_.jitter == JitterRule::ddu) {
      double smallest = std::numeric_limits<double>::infinity();
      for (const at::Tensor& variance : variances) smallest = std::min(smallest, variance.min().item<double>());
      jitter = smallest > 0 ? 0 : std::numeric_limits<double>::min();
    }
    for (int64_t c = 0; c < classes(); ++c) {
      const at::Tensor& variance = variances[index(c)];
      keep_variance(variance, c, options_.jitter == JitterRule::per_class ? diagonal_jitter(variance, c) : jitter);
    }
  }

  double diagonal_jitter(const at::Tensor& variance, int64_t c) const {
    const double share = least_share_of_diagonal(moments_.dim());
    if (safely_positive(variance, share)) return 0;
    if (!(scale_of(c) > 0)) {
      fail("ERR_NOT_POSITIVE_DEFINITE", "class ", label_of(c),
           ": expected some variance to scale the jitter by, found none (in float64, deviations below 1e-162 have "
           "none)");
    }
    if (variance.max().item<double>() == 0) return zero_covariance_jitter(moments_.dim(), scale_of(c));
    return smallest_power_of_ten(share, scale_of(c),
                                 [&](double jitter) { return safely_positive(variance + jitter, share); });
  }

  void keep_variance(const at::Tensor& without_jitter, int64_t c, double jitter) {
    jitter_of(c) = jitter;
    const at::Tensor variance = without_jitter + jitter;
    const double smallest = variance.min().item<double>(), largest = variance.max().item<double>();
    if (!(smallest > 0)) fail("ERR_NOT_POSITIVE_DEFINITE", "class ", label_of(c), ": a feature has no variance");
    if (!std::isfinite(largest)) {
      fail("ERR_RANGE", "jitter: expected one that leaves the variances within float64, found ", jitter);
    }
    if (is_relative(options_.jitter)) require_digits(smallest, label_of(c));
    density_.deviation_[c].copy_(variance.sqrt());
  }

  void fit_tied() {
    const at::Tensor covariance = moments_.pooled_scatter() / pooled_divisor_;
    CholeskyFactor factor;
    if (is_relative(options_.jitter)) {
      factor = safe_cholesky(covariance, pooled_scale_, poll_);
      require_digits(factor.lower.diagonal().square().min().item<double>(), -1);
    } else {
      const bool ddu = options_.jitter == JitterRule::ddu;
      factor = cholesky_with_jitter(covariance, ddu ? ddu_jitter({covariance}, poll_) : options_.fixed_jitter);
    }
    for (int64_t c = 0; c < classes(); ++c) jitter_of(c) = factor.jitter;
    density_.factors_.push_back(GaussianDensity::keep_factor(factor.lower));
  }

  // A class's scatter is given back as soon as its factor exists.
  void fit_class_by_class() {
    density_.factors_.resize(present_.size());
    switch (options_.jitter) {
      case JitterRule::per_class:
        for_each_class(moments_.device(), classes(), [&](int64_t c) {
          poll_();
          keep_safe(c);
          drop(c);
        });
        break;
      case JitterRule::shared:
        fit_with_shared_jitter();
        break;
      case JitterRule::ddu:
        fit_with_ddu_jitter();
        break;
      case JitterRule::fixed:
        for (int64_t c = 0; c < classes(); ++c) {
          poll_();
          keep(c, cholesky_with_jitter(covariance_of(c), options_.fixed_jitter));
          drop(c);
        }
        break;
    }
  }

  void fit_with_shared_jitter() {
    double jitter = 0;
    for (int64_t c = 0; c < classes(); ++c) {
      poll_();
      jitter = std::max(jitter, keep_safe(c));
    }
    for (int64_t c = 0; c < classes(); ++c) {
      poll_();
      if (jitter_of(c) != jitter) keep(c, cholesky_with_jitter(covariance_of(c), jitter));
      drop(c);
    }
  }

  void fit_with_ddu_jitter() {
    std::vector<at::Tensor> covariances;
    for (int64_t c = 0; c < classes(); ++c) {
      covariances.push_back(covariance_of(c));
      drop(c);
    }
    const double jitter = ddu_jitter(covariances, poll_);
    for (int64_t c = 0; c < classes(); ++c) {
      keep(c, cholesky_with_jitter(covariances[index(c)], jitter));
      covariances[index(c)].reset();
    }
  }

  at::Tensor covariance_of(int64_t c) {
    const bool shrunk =
        options_.covariance == CovarianceKind::ledoit_wolf || options_.covariance == CovarianceKind::oas;
    const double count = count_of(c);
    const double divisor = std::max(1.0, shrunk ? count : count - 1);
    // A scatter that is given back after one look is divided where it lies.
    const bool in_place = consume_ && options_.jitter != JitterRule::shared;
    const at::Tensor& scatter = moments_.scatter(moment_of(c));
    const at::Tensor covariance = in_place ? scatter.div_(divisor) : scatter / divisor;
    if (options_.covariance == CovarianceKind::low_rank) keep_leading_axes(covariance, options_.rank);
    if (shrunk) {
      const double shrinkage =
          options_.covariance == CovarianceKind::oas
              ? oas_shrinkage(covariance, count)
              : ledoit_wolf_shrinkage(covariance, count, moments_.fourth_ratios()[moment_of(c)].item<double>());
      density_.shrinkage_[static_cast<size_t>(label_of(c))] = shrinkage;
      shrink_covariance(covariance, shrinkage);
    }
    return covariance;
  }

  double keep_safe(int64_t c) {
    const CholeskyFactor factor = safe_cholesky(covariance_of(c), scale_of(c), poll_);
    require_digits(factor.lower.diagonal().square().min().item<double>(), label_of(c));
    keep(c, factor);
    return factor.jitter;
  }

  void keep(int64_t c, const CholeskyFactor& factor) {
    jitter_of(c) = factor.jitter;
    density_.factors_[index(c)] = GaussianDensity::keep_factor(factor.lower);
  }

  void drop(int64_t c) {
    if (consume_) moments_.drop_scatter(moment_of(c));
  }

  static size_t index(int64_t c) { return static_cast<size_t>(c); }

  ClassMoments& moments_;
  const DensityOptions& options_;
  const bool consume_;
  const Poll& poll_;
  const std::vector<int64_t> present_;  // the places of the classes with samples among the moments
  GaussianDensity density_;
  double pooled_divisor_ = 1;
  double pooled_scale_ = 0;  // mean variance about the class means
  at::Tensor traces_;        // [P], host memory: Σ of the squared deviations
};

GaussianDensity GaussianDensity::fit(ClassMoments& moments, const ClassLabels& named, const DensityOptions& options,
                                     bool consume, const Poll& poll) {
  return GaussianFit(moments, named, options, consume, poll).run();
}

}  // namespace ood
