// Gaussian class densities as jobs use them.
#include "statistics/gaussian_mixture.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "core/checks.h"
#include "core/errors.h"

namespace ood {

namespace {

// Rows evaluated together: enough for the matrix kernel, few enough that a step stays short.
int64_t chunk_rows(int64_t dim) { return std::clamp<int64_t>((int64_t{1} << 20) / dim, 512, 8192); }

// Columns of the classes with samples among those of all classes, [n, C]; `absent` in the others.
at::Tensor among_all(const at::Tensor& columns, const GaussianDensity& density, double absent) {
  if (density.present() == density.classes()) return columns;
  const at::Tensor all = at::full({columns.size(0), density.classes()}, absent, columns.options());
  return all.index_copy_(1, at::tensor(density.labels(), at::kLong).to(columns.device()), columns);
}

// One chunk of rows through the densities.
struct Evaluation {
  Quantity quantity;
  at::Tensor prior, labels;  // log q(c) and label, of the classes with samples
  GaussianDensity::Workspace workspace = {};
  int64_t done = 0;  // rows before the chunk

  // Throws ERR_RANGE where a number of a row, or the largest one of it, has overflowed.
  const at::Tensor& require_reached(const at::Tensor& numbers) const {
    const at::Tensor lost = numbers.isfinite().logical_not_();
    if (!lost.any().item<bool>()) return numbers;
    const int64_t row = done + lost.reshape({lost.size(0), -1}).any(1).nonzero()[0].item<int64_t>();
    fail("ERR_RANGE", "features: expected rows whose squared distances from the class means are within float64, found ",
         "row ", row, " too far away");
  }

  at::Tensor evaluate(GaussianDensity& density, const Poll& poll) {
    if (quantity == Quantity::log_density) {
      return require_reached(at::logsumexp(density.joint_log_density(workspace, poll), 1));
    }
    if (quantity == Quantity::predict) {
      const auto [greatest, place] = density.joint_log_density(workspace, poll).max(1);
      require_reached(greatest);
      return labels.index_select(0, place);
    }
    if (quantity == Quantity::least_squared_distance) {
      at::Tensor least = density.squared_distance(workspace, 0);
      for (int64_t c = 1; c < density.present(); ++c) {
        poll();
        at::minimum_out(least, least, density.squared_distance(workspace, c));
      }
      return require_reached(least);
    }
    std::vector<at::Tensor> columns;
    for (int64_t c = 0; c < density.present(); ++c) {
      poll();
      columns.push_back(density.log_density(workspace, c));
    }
    const at::Tensor classes = at::stack(columns, 1);
    if (quantity == Quantity::class_log_densities) {
      return among_all(require_reached(classes), density, -std::numeric_limits<double>::infinity());
    }
    const at::Tensor joint = classes + prior;
    require_reached(joint.amax(1));
    return among_all(at::softmax(joint, 1), density, 0);
  }
};

}  // namespace

GaussianDensity& SharedDensity::fitted() {
  if (!density) fail("ERR_OPTION", "mixture: expected one that has been fitted or loaded");
  return *density;
}

void fit_to_moments(SharedDensity& shared, GatheredMoments& gathered, const DensityOptions& options, const Poll& poll) {
  ClassMoments& moments = gathered.up_to_date();
  ClassLabels all{moments.classes(), std::vector<int64_t>(static_cast<size_t>(moments.classes()))};
  std::iota(all.labels.begin(), all.labels.end(), 0);
  shared.density = GaussianDensity::fit(moments, all, options, /*consume=*/false, poll);
}

// Moments are of the classes that there are, so that a gap in the labels costs nothing.
Task<> fit_to_features(std::shared_ptr<SharedDensity> shared, at::Tensor features, at::Tensor labels, int64_t classes,
                       DensityOptions options, Poll poll) {
  require_labels(labels, classes, "labels");
  const auto [present, place] = at::_unique(labels, /*sorted=*/true, /*return_inverse=*/true);
  const ClassLabels named{classes, std::vector<int64_t>(present.const_data_ptr<int64_t>(),
                                                        present.const_data_ptr<int64_t>() + present.numel())};
  const c10::Device device = shared->device();
  GatheredMoments moments(ClassMoments(present.numel(), features.size(1), scatter_for(options.covariance), device),
                          device);
  moments.accept(features, place);
  while (!moments.take()) co_await next_turn;
  shared->density = GaussianDensity::fit(moments.up_to_date(), named, options, /*consume=*/true, poll);
}

Task<at::Tensor> evaluate_density(std::shared_ptr<SharedDensity> shared, at::Tensor features, Quantity quantity,
                                  Poll poll) {
  GaussianDensity& density = shared->fitted();
  const int64_t count = features.size(0), piece = chunk_rows(density.dim());
  if (features.size(1) != density.dim())
    fail("ERR_SHAPE", "features: expected ", density.dim(), " columns, found ", features.size(1));
  require_finite(features, "features");
  density.make_ready(poll);
  Evaluation evaluation{quantity, density.log_prior(), at::tensor(density.labels(), at::kLong).to(density.device())};
  const bool whole = quantity == Quantity::class_log_densities || quantity == Quantity::responsibilities;
  const auto dtype = quantity == Quantity::predict ? at::kInt : at::kDouble;
  at::Tensor result = whole ? at::empty({count, density.classes()}, dtype) : at::empty({count}, dtype);
  for (int64_t start = 0; start < count; start += piece) {
    if (start > 0) co_await next_turn;
    const int64_t end = std::min(start + piece, count);
    density.load(evaluation.workspace, features.slice(0, start, end));
    evaluation.done = start;
    result.slice(0, start, end).copy_(evaluation.evaluate(density, poll));
  }
  co_return result;
}

NamedTensors fit_outcome(const GaussianDensity& density) {
  return {{"count", at::tensor(density.counts(), at::kLong)},
          {"jitter", at::tensor(density.jitter(), at::kDouble)},
          {"shrinkage", at::tensor(density.shrinkage(), at::kDouble)},
          {"withoutVariance", at::tensor(density.without_variance(), at::kLong)}};
}

NamedTensors class_parameters(const GaussianDensity& density, int64_t label) {
  if (label >= density.classes()) fail("ERR_RANGE", "class: expected 0 to ", density.classes() - 1, ", found ", label);
  const int64_t place = density.place_of(label);
  if (place < 0) fail("ERR_RANGE", "class: class ", label, " had no samples");
  return {{"mean", density.mean(place).to(at::kCPU)}, {"covariance", density.covariance_of(place).to(at::kCPU)}};
}

}  // namespace ood
