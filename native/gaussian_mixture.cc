// The native class GaussianMixture.
#include "gaussian_mixture.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "arguments.h"
#include "class_statistics.h"
#include "named_state.h"
#include "tensor.h"

namespace ood {

namespace {

// Rows evaluated together: enough for the matrix kernel, few enough that a step stays short.
int64_t chunk_rows(int64_t dim) { return std::clamp<int64_t>((int64_t{1} << 20) / dim, 512, 8192); }

// What a fit came to, per class, and the classes of equal samples.
NamedState outcome(const GaussianDensity& density) {
  return {{"count", at::tensor(density.counts(), at::kLong)},
          {"jitter", at::tensor(density.jitter(), at::kDouble)},
          {"shrinkage", at::tensor(density.shrinkage(), at::kDouble)},
          {"withoutVariance", at::tensor(density.without_variance(), at::kLong)}};
}

template <class Enum>
Enum choice_argument(const Napi::Value& value, const char* name,
                     std::initializer_list<std::pair<const char*, Enum>> choices) {
  const std::string text = string_argument(value, name);
  for (const auto& [choice, result] : choices) {
    if (text == choice) return result;
  }
  fail("ERR_OPTION", name, ": unknown choice \"", text, "\"");
}

DensityOptions density_options_argument(const Napi::Value& value) {
  const Napi::Object object = object_argument(value, "options");
  DensityOptions options;
  options.covariance = choice_argument<CovarianceKind>(object.Get("covariance"), "covariance",
                                                       {{"full", CovarianceKind::full},
                                                        {"tied", CovarianceKind::tied},
                                                        {"diagonal", CovarianceKind::diagonal},
                                                        {"ledoit-wolf", CovarianceKind::ledoit_wolf},
                                                        {"oas", CovarianceKind::oas},
                                                        {"low-rank", CovarianceKind::low_rank}});
  options.rank = integer_argument(object.Get("rank"), "rank", 0, 1 << 20);
  options.prior = choice_argument<PriorKind>(
      object.Get("prior"), "prior",
      {{"empirical", PriorKind::empirical}, {"uniform", PriorKind::uniform}, {"none", PriorKind::none}});
  if (object.Get("jitter").IsNumber()) {
    options.jitter = JitterRule::fixed;
    options.fixed_jitter = number_argument(object.Get("jitter"), "jitter", 0);
  } else {
    options.jitter = choice_argument<JitterRule>(
        object.Get("jitter"), "jitter",
        {{"per-class", JitterRule::per_class}, {"shared", JitterRule::shared}, {"ddu", JitterRule::ddu}});
  }
  return options;
}

// Columns of the classes with samples among those of all classes, [n, C]; `absent` in the others.
at::Tensor among_all(const at::Tensor& columns, const GaussianDensity& density, double absent) {
  if (density.present() == density.classes()) return columns;
  const at::Tensor all = at::full({columns.size(0), density.classes()}, absent, columns.options());
  return all.index_copy_(1, at::tensor(density.labels(), at::kLong).to(columns.device()), columns);
}

enum class Quantity { log_density, class_log_densities, responsibilities, predict, least_squared_distance };

// Features through the densities, a chunk per step.
struct Evaluation {
  std::shared_ptr<SharedDensity> shared;
  at::Tensor features;
  Quantity quantity;
  bool checked = false;
  int64_t done = 0;
  GaussianDensity::Workspace workspace;
  at::Tensor prior, labels, result;

  bool step(JobContext& job) {
    const at::NoGradGuard no_grad;
    GaussianDensity& density = shared->fitted();
    const int64_t count = features.size(0);
    if (!checked) {
      if (features.size(1) != density.dim())
        fail("ERR_SHAPE", "features: expected ", density.dim(), " columns, found ", features.size(1));
      require_finite(features, "features");
      prior = density.log_prior();
      labels = at::tensor(density.labels(), at::kLong).to(density.device());
      density.make_ready([&job] { job.check(); });
      const bool whole = quantity == Quantity::class_log_densities || quantity == Quantity::responsibilities;
      const auto dtype = quantity == Quantity::predict ? at::kInt : at::kDouble;
      result = whole ? at::empty({count, density.classes()}, dtype) : at::empty({count}, dtype);
      checked = true;
    }
    if (done == count) return true;
    const int64_t end = std::min(done + chunk_rows(density.dim()), count);
    density.load(workspace, features.slice(0, done, end));
    result.slice(0, done, end).copy_(evaluate(density, [&job] { job.check(); }));
    done = end;
    return done == count;
  }

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

// A fit to features: their parts into moments, one per step, then the densities. Moments are of the classes that there
// are, so that a gap in the labels costs nothing.
struct FeatureFit {
  std::shared_ptr<SharedDensity> shared;
  at::Tensor features, labels;
  int64_t classes;
  DensityOptions options;
  ClassLabels named = {};
  std::optional<SharedStatistics> statistics = {};

  bool step(JobContext& job) {
    const at::NoGradGuard no_grad;
    if (!statistics) accept();
    if (!statistics->take()) return false;
    shared->density =
        GaussianDensity::fit(statistics->up_to_date(), named, options, /*consume=*/true, [&job] { job.check(); });
    return true;
  }

  void accept() {
    require_labels(labels, classes, "labels");
    const auto [present, place] = at::_unique(labels, /*sorted=*/true, /*return_inverse=*/true);
    named = {classes, std::vector<int64_t>(present.const_data_ptr<int64_t>(),
                                           present.const_data_ptr<int64_t>() + present.numel())};
    const c10::Device device = shared->device();
    const ClassMoments empty(present.numel(), features.size(1), scatter_for(options.covariance), device);
    statistics.emplace(empty, device);
    statistics->accept(features, place);
  }
};

}  // namespace

GaussianDensity& SharedDensity::fitted() {
  if (!density) fail("ERR_OPTION", "mixture: expected one that has been fitted or loaded");
  return *density;
}

void GaussianMixture::define(Napi::Env env, Napi::Object exports) {
  exports.Set("GaussianMixture", DefineClass(env, "GaussianMixture",
                                             {
                                                 method<&GaussianMixture::fit>("fit"),
                                                 method<&GaussianMixture::fit_features>("fitFeatures"),
                                                 method<&GaussianMixture::evaluate>("evaluate"),
                                                 method<&GaussianMixture::parameters>("parameters"),
                                                 method<&GaussianMixture::state>("state"),
                                                 method<&GaussianMixture::load_state>("loadState"),
                                                 dispose_method(),
                                             }));
}

// fit(control, statistics, options): count, jitter and shrinkage, per class; withoutVariance, some of the classes
Napi::Value GaussianMixture::fit(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const auto statistics = ClassStatistics::unwrap(info[1], "statistics");
  const DensityOptions options = density_options_argument(info[2]);
  if (statistics->device() != shared->device()) {
    fail("ERR_DEVICE", "statistics: expected them on ", shared->device().str(), ", found them on ",
         statistics->device().str());
  }
  return submit_keeping(
      info,
      [=](JobContext& job) {
        const at::NoGradGuard no_grad;
        ClassMoments& moments = statistics->up_to_date();
        ClassLabels all{moments.classes(), std::vector<int64_t>(static_cast<size_t>(moments.classes()))};
        std::iota(all.labels.begin(), all.labels.end(), 0);
        shared->density = GaussianDensity::fit(moments, all, options, false, [&job] { job.check(); });
        return true;
      },
      [shared](Napi::Env env) { return state_to_js(env, outcome(shared->fitted())); });
}

// fitFeatures(control, features, labels, numClasses, options): the same
Napi::Value GaussianMixture::fit_features(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const at::Tensor features = features_argument(info[1], "features");
  const at::Tensor labels = labels_argument(info[2], "labels");
  require_pairs(features, labels);
  const int64_t classes = integer_argument(info[3], "numClasses", 1, 1 << 24);
  const DensityOptions options = density_options_argument(info[4]);
  auto fit = std::make_shared<FeatureFit>(FeatureFit{shared, features, labels, classes, options});
  return submit_keeping(
      info, [fit](JobContext& job) { return fit->step(job); },
      [shared](Napi::Env env) { return state_to_js(env, outcome(shared->fitted())); });
}

// evaluate(control, features, quantity): a tensor
Napi::Value GaussianMixture::evaluate(const Napi::CallbackInfo& info) {
  auto evaluation = std::make_shared<Evaluation>();
  evaluation->shared = live();
  evaluation->features = features_argument(info[1], "features");
  evaluation->quantity = choice_argument<Quantity>(info[2], "quantity",
                                                   {{"logDensity", Quantity::log_density},
                                                    {"classLogDensities", Quantity::class_log_densities},
                                                    {"responsibilities", Quantity::responsibilities},
                                                    {"predict", Quantity::predict},
                                                    {"leastSquaredDistance", Quantity::least_squared_distance}});
  return submit_keeping(
      info, [evaluation](JobContext& job) { return evaluation->step(job); },
      [evaluation](Napi::Env env) { return Tensor::wrap(env, evaluation->result); });
}

// parameters(control, class): [{ mean [d] }, { covariance [d, d] }], jitter included
Napi::Value GaussianMixture::parameters(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const int64_t label = integer_argument(info[1], "class");
  return submit<NamedState>(
      info, shared->device(),
      [=](JobContext&) {
        const at::NoGradGuard no_grad;
        const GaussianDensity& density = shared->fitted();
        if (label >= density.classes())
          fail("ERR_RANGE", "class: expected 0 to ", density.classes() - 1, ", found ", label);
        const int64_t place = density.place_of(label);
        if (place < 0) fail("ERR_RANGE", "class: class ", label, " had no samples");
        return NamedState{{"mean", density.mean(place).to(at::kCPU)},
                          {"covariance", density.covariance_of(place).to(at::kCPU)}};
      },
      [](Napi::Env env, NamedState& state) { return state_to_js(env, state); });
}

// state(control): [{ name, tensor }]
Napi::Value GaussianMixture::state(const Napi::CallbackInfo& info) {
  const auto shared = live();
  return submit<NamedState>(
      info, shared->device(),
      [shared](JobContext&) {
        const at::NoGradGuard no_grad;
        return shared->fitted().state();
      },
      [](Napi::Env env, NamedState& state) { return state_to_js(env, state); });
}

// loadState(control, numClasses, featureDim, options, state)
Napi::Value GaussianMixture::load_state(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const int64_t classes = integer_argument(info[1], "numClasses", 1, 1 << 24);
  const int64_t dim = integer_argument(info[2], "featureDim", 1, 1 << 20);
  const DensityOptions options = density_options_argument(info[3]);
  const NamedState state = state_argument(info[4], "state");
  return submit_keeping(
      info,
      [=](JobContext&) {
        const at::NoGradGuard no_grad;
        shared->density = GaussianDensity::from_state(classes, dim, options, shared->device(), state);
        return true;
      },
      [](Napi::Env env) -> Napi::Value { return env.Undefined(); });
}

}  // namespace ood
