// The native class GaussianMixture.
#include "gaussian_mixture.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <utility>

#include "arguments.h"
#include "class_statistics.h"
#include "executor.h"
#include "named_state.h"
#include "resnet.h"
#include "tensor.h"

namespace ood {

namespace {

// Rows evaluated together: enough for the matrix kernel, few enough that a chunk stays in the cache.
constexpr int64_t chunk_rows = 1024;

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
                                                        {"oas", CovarianceKind::oas}});
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

enum class Quantity { log_density, class_log_densities, responsibilities, predict };

// Features through the densities, one class of one chunk per step.
struct Evaluation {
  std::shared_ptr<SharedDensity> shared;
  at::Tensor features;
  Quantity quantity;
  bool checked = false;
  int64_t done = 0;
  int64_t next_class = 0;
  GaussianDensity::Workspace workspace;
  at::Tensor chunk, prior, result;

  bool step() {
    const at::NoGradGuard no_grad;
    const GaussianDensity& density = shared->fitted();
    const int64_t count = features.size(0);
    if (!checked) {
      if (features.size(1) != density.dim())
        fail("ERR_SHAPE", "features: expected ", density.dim(), " columns, found ", features.size(1));
      require_finite(features, "features");
      prior = density.log_prior();
      const bool whole = quantity == Quantity::class_log_densities || quantity == Quantity::responsibilities;
      const auto dtype = quantity == Quantity::predict ? at::kInt : at::kDouble;
      result = whole ? at::empty({count, density.classes()}, dtype) : at::empty({count}, dtype);
      checked = true;
    }
    if (done == count) return true;
    const int64_t end = std::min(done + chunk_rows, count);
    if (next_class == 0) {
      density.load(workspace, features.slice(0, done, end));
      chunk = at::empty({end - done, density.classes()}, prior.options());
    }
    chunk.select(1, next_class).copy_(density.log_density(workspace, next_class));
    if (++next_class < density.classes()) return false;
    next_class = 0;
    result.slice(0, done, end).copy_(reduced());
    done = end;
    return done == count;
  }

  at::Tensor reduced() const {
    switch (quantity) {
      case Quantity::class_log_densities:
        return chunk;
      case Quantity::responsibilities:
        return at::softmax(chunk + prior, 1);
      case Quantity::predict:
        return at::argmax(chunk + prior, 1);
      case Quantity::log_density:
        break;
    }
    return at::logsumexp(chunk + prior, 1);
  }
};

}  // namespace

const GaussianDensity& SharedDensity::fitted() const {
  if (!density) fail("ERR_OPTION", "mixture: expected one that has been fitted or loaded");
  return *density;
}

void GaussianMixture::define(Napi::Env env, Napi::Object exports) {
  exports.Set("GaussianMixture", DefineClass(env, "GaussianMixture",
                                             {
                                                 method<&GaussianMixture::fit>("fit"),
                                                 method<&GaussianMixture::evaluate>("evaluate"),
                                                 method<&GaussianMixture::parameters>("parameters"),
                                                 method<&GaussianMixture::state>("state"),
                                                 method<&GaussianMixture::load_state>("loadState"),
                                                 method<&GaussianMixture::dispose>("dispose"),
                                             }));
}

GaussianMixture::GaussianMixture(const Napi::CallbackInfo& info) : Wrapped(info) {
  guarded(info.Env(), [&] { shared_ = std::make_shared<SharedDensity>(device_argument(info[0], "device")); });
}

GaussianMixture::~GaussianMixture() { release_on(shared_); }

const std::shared_ptr<SharedDensity>& GaussianMixture::live() const {
  if (!shared_) fail("ERR_DISPOSED", "mixture: it has been disposed");
  return shared_;
}

// fit(control, statistics, options, consume): count, jitter and shrinkage, per class
Napi::Value GaussianMixture::fit(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const auto statistics = ClassStatistics::unwrap(info[1], "statistics");
  const DensityOptions options = density_options_argument(info[2]);
  const bool consume = boolean_argument(info[3], "consume");
  if (statistics->device() != shared->device()) {
    fail("ERR_DEVICE", "statistics: expected them on ", shared->device().str(), ", found them on ",
         statistics->device().str());
  }
  return submit<NamedState>(
      info, shared->device(),
      [=](JobContext& job) {
        const at::NoGradGuard no_grad;
        shared->density = GaussianDensity::fit(statistics->up_to_date(), options, consume, [&job] { job.check(); });
        return NamedState{{"count", at::tensor(shared->density->counts(), at::kLong)},
                          {"jitter", at::tensor(shared->density->jitter(), at::kDouble)},
                          {"shrinkage", at::tensor(shared->density->shrinkage(), at::kDouble)}};
      },
      [](Napi::Env env, NamedState& state) { return state_to_js(env, state); });
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
                                                    {"predict", Quantity::predict}});
  return submit_steps(
      info.Env(), evaluation->shared->device(), info[0], info.Env().Undefined(),
      [evaluation](JobContext&) { return evaluation->step(); },
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
        if (density.counts()[static_cast<size_t>(label)] == 0)
          fail("ERR_RANGE", "class: class ", label, " had no samples");
        return NamedState{{"mean", density.mean(label).to(at::kCPU)},
                          {"covariance", density.covariance_of(label).to(at::kCPU)}};
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
  return submit_void(info, shared->device(), [=](JobContext&) {
    const at::NoGradGuard no_grad;
    shared->density = GaussianDensity::from_state(classes, dim, options, shared->device(), state);
  });
}

Napi::Value GaussianMixture::dispose(const Napi::CallbackInfo& info) {
  release_on(shared_);
  return info.Env().Undefined();
}

}  // namespace ood
