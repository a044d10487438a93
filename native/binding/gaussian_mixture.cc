// The native class GaussianMixture.
#include "binding/gaussian_mixture.h"

#include "binding/arguments.h"
#include "binding/class_statistics.h"
#include "binding/named_tensors.h"
#include "binding/tensor.h"
#include "core/checks.h"
#include "core/errors.h"

namespace ood {

namespace {

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

}  // namespace

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
      info, [=](JobContext& job) { fit_to_moments(*shared, *statistics, options, job.poll()); },
      [shared](Napi::Env env, std::monostate) { return named_tensors_to_js(env, fit_outcome(shared->fitted())); });
}

// fitFeatures(control, features, labels, numClasses, options): the same
Napi::Value GaussianMixture::fit_features(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const at::Tensor features = features_argument(info[1], "features");
  const at::Tensor labels = labels_argument(info[2], "labels");
  require_pairs(features, labels);
  const int64_t classes = integer_argument(info[3], "numClasses", 1, 1 << 24);
  const DensityOptions options = density_options_argument(info[4]);
  return submit_keeping(
      info, [=](JobContext& job) { return fit_to_features(shared, features, labels, classes, options, job.poll()); },
      [shared](Napi::Env env, std::monostate) { return named_tensors_to_js(env, fit_outcome(shared->fitted())); });
}

// evaluate(control, features, quantity): a tensor
Napi::Value GaussianMixture::evaluate(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const at::Tensor features = features_argument(info[1], "features");
  const auto quantity = choice_argument<Quantity>(info[2], "quantity",
                                                  {{"logDensity", Quantity::log_density},
                                                   {"classLogDensities", Quantity::class_log_densities},
                                                   {"responsibilities", Quantity::responsibilities},
                                                   {"predict", Quantity::predict},
                                                   {"leastSquaredDistance", Quantity::least_squared_distance}});
  return submit_keeping(
      info, [=](JobContext& job) { return evaluate_density(shared, features, quantity, job.poll()); }, tensor_to_js);
}

// parameters(control, class): [{ mean [d] }, { covariance [d, d] }], jitter included
Napi::Value GaussianMixture::parameters(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const int64_t label = integer_argument(info[1], "class");
  return submit(
      info, shared->device(), [=](JobContext&) { return class_parameters(shared->fitted(), label); },
      named_tensors_to_js);
}

// state(control): [{ name, tensor }]
Napi::Value GaussianMixture::state(const Napi::CallbackInfo& info) {
  const auto shared = live();
  return submit(
      info, shared->device(), [shared](JobContext&) { return shared->fitted().state(); }, named_tensors_to_js);
}

// loadState(control, numClasses, featureDim, options, state)
Napi::Value GaussianMixture::load_state(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const int64_t classes = integer_argument(info[1], "numClasses", 1, 1 << 24);
  const int64_t dim = integer_argument(info[2], "featureDim", 1, 1 << 20);
  const DensityOptions options = density_options_argument(info[3]);
  const NamedTensors state = named_tensors_argument(info[4], "state");
  return submit_keeping(
      info,
      [=](JobContext&) {
        shared->density = GaussianDensity::from_state(classes, dim, options, shared->device(), state);
      },
      nothing);
}

}  // namespace ood
