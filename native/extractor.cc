// The native class Extractor.
#include "extractor.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "arguments.h"
#include "augmentation.h"
#include "environment.h"
#include "executor.h"
#include "resnet.h"
#include "tensor.h"

namespace ood {

namespace {

// One extraction: a batch per step, written straight into the result.
struct Extraction {
  std::shared_ptr<const FoldedNetwork> network;
  at::Tensor images;
  Normalization normalization;
  int64_t batch_size;
  bool raw_features;
  bool report;
  int64_t done = 0;
  at::Tensor features, logits;

  bool step(JobContext& job) {
    const int64_t count = images.size(0);
    if (!features.defined()) {
      const auto options = at::TensorOptions(network->output_dtype());
      features = at::empty({count, network->feature_dim()}, options);
      logits = at::empty({count, network->num_classes()}, options);
      if (images.is_floating_point()) require_finite(images, "images");
    }
    if (done < count) {
      const int64_t end = std::min(done + batch_size, count);
      const at::Tensor batch = images.slice(0, done, end).to(network->device());
      const NetworkOutput output =
          network->forward(normalise(batch, normalization, network->output_dtype()), [&job] { job.check(); });
      features.slice(0, done, end).copy_(raw_features ? output.raw_features : output.features);
      logits.slice(0, done, end).copy_(output.logits);
      done = end;
      if (report) {
        job.post([progress = done](Napi::Env env) -> Napi::Value {
          return Napi::Number::New(env, static_cast<double>(progress));
        });
      }
    }
    if (done < count) return false;
    require_finite(features, "features");  // a network with NaN or infinite weights must not give scores
    return true;
  }
};

}  // namespace

void Extractor::define(Napi::Env env, Napi::Object exports) {
  const Napi::Function constructor =
      DefineClass(env, "Extractor", {method<&Extractor::extract>("extract"), method<&Extractor::dispose>("dispose")});
  Environment::of(env).extractor_constructor = Napi::Persistent(constructor);
}

Napi::Value Extractor::wrap(Napi::Env env, std::shared_ptr<const FoldedNetwork> network) {
  const Napi::Object object = Environment::of(env).extractor_constructor.New({});
  Extractor::Unwrap(object)->network_ = std::move(network);
  return object;
}

Extractor::~Extractor() { release_on(network_); }

// extract(control, images, { batchSize, normalization, rawFeatures }, onProgress)
Napi::Value Extractor::extract(const Napi::CallbackInfo& info) {
  if (!network_) fail("ERR_DISPOSED", "extractor: it has been disposed");
  const Architecture& architecture = network_->architecture();
  auto extraction = std::make_shared<Extraction>();
  extraction->network = network_;
  extraction->images = images_argument(info[1], "images", architecture);
  const Napi::Object options = object_argument(info[2], "options");
  extraction->batch_size = integer_argument(options.Get("batchSize"), "batchSize", 1, 1 << 20);
  extraction->normalization = normalization_argument(options.Get("normalization"), architecture.in_channels);
  extraction->raw_features = boolean_argument(options.Get("rawFeatures"), "rawFeatures");
  extraction->report = info[3].IsFunction();
  return submit_steps(
      info.Env(), network_->device(), info[0], info[3], [extraction](JobContext& job) { return extraction->step(job); },
      [extraction](Napi::Env env) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        result.Set("features", Tensor::wrap(env, extraction->features));
        result.Set("logits", Tensor::wrap(env, extraction->logits));
        return result;
      });
}

Napi::Value Extractor::dispose(const Napi::CallbackInfo& info) {
  release_on(network_);
  return info.Env().Undefined();
}

}  // namespace ood
