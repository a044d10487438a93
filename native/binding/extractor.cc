// The native class Extractor.
#include "binding/extractor.h"

#include <utility>

#include "binding/arguments.h"
#include "binding/environment.h"
#include "binding/resnet.h"
#include "binding/tensor.h"
#include "models/extraction.h"

namespace ood {

namespace {

WantedOutputs outputs_argument(const Napi::Value& value) {
  const Napi::Object object = object_argument(value, "outputs");
  return {.raw_features = boolean_argument(object.Get("rawFeatures"), "outputs.rawFeatures"),
          .features = boolean_argument(object.Get("features"), "outputs.features"),
          .logits = boolean_argument(object.Get("logits"), "outputs.logits")};
}

}  // namespace

void Extractor::define(Napi::Env env, Napi::Object exports) {
  const Napi::Function constructor =
      DefineClass(env, "Extractor", {method<&Extractor::extract>("extract"), dispose_method()});
  Environment::of(env).extractor_constructor = Napi::Persistent(constructor);
}

Napi::Value Extractor::wrap(Napi::Env env, std::shared_ptr<const InferenceModel> model) {
  const Napi::Object object = Environment::of(env).extractor_constructor.New({});
  Extractor::Unwrap(object)->hold(env, std::move(model));
  return object;
}

// extract(control, images, { batchSize, normalization, outputs: { features, rawFeatures, logits } }, onProgress)
Napi::Value Extractor::extract(const Napi::CallbackInfo& info) {
  const std::shared_ptr<const InferenceModel>& model = live();
  const at::Tensor images = images_argument(info[1], "images", model->in_channels(), model->image_size());
  const Napi::Object object = object_argument(info[2], "options");
  ExtractionOptions options;
  options.batch_size = integer_argument(object.Get("batchSize"), "batchSize", 1, 1 << 20);
  options.normalization = normalization_argument(object.Get("normalization"), model->in_channels());
  options.outputs = outputs_argument(object.Get("outputs"));
  if (options.outputs.logits && model->num_classes() == 0) fail("ERR_OPTION", "outputs: the model gives no logits");
  const bool reports = info[3].IsFunction();
  return submit(
      info, model->device(),
      [=](JobContext& job) {
        return ood::extract(model, images, options, job.poll(), [job, reports](int64_t done) {
          if (!reports) return;
          job.post([done](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, static_cast<double>(done)); });
        });
      },
      [](Napi::Env env, NetworkOutput& output) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        if (output.features.defined()) result.Set("features", Tensor::wrap(env, output.features));
        if (output.raw_features.defined()) result.Set("rawFeatures", Tensor::wrap(env, output.raw_features));
        if (output.logits.defined()) result.Set("logits", Tensor::wrap(env, output.logits));
        return result;
      },
      info[3]);
}

}  // namespace ood
