// The native function of the neural-collapse loss.
#include "binding/collapse_loss.h"

#include "binding/arguments.h"
#include "binding/job.h"
#include "binding/tensor.h"
#include "core/checks.h"
#include "core/errors.h"
#include "training/collapse_loss.h"

namespace ood {

namespace {

// collapseLoss(control, features, labels, weight, device)
Napi::Value loss(const Napi::CallbackInfo& info) {
  const at::Tensor features = features_argument(info[1], "features");
  const at::Tensor labels = labels_argument(info[2], "labels");
  const at::Tensor weight = tensor_argument(info[3], "weight", {at::kFloat, at::kDouble}, 2);
  const c10::Device device = device_argument(info[4], "device");
  require_rows(features);
  if (labels.size(0) != features.size(0))
    fail("ERR_SHAPE", "labels: expected ", features.size(0), " values, found ", labels.size(0));
  if (weight.size(1) != features.size(1))
    fail("ERR_SHAPE", "weight: expected ", features.size(1), " columns as features has, found ", weight.size(1));
  return submit(
      info, device, [=](JobContext&) { return collapse_loss_and_gradients(features, labels, weight, device); },
      [](Napi::Env env, LossAndGradients& result) -> Napi::Value {
        Napi::Object object = Napi::Object::New(env);
        object.Set("terms", Tensor::wrap(env, result.terms));
        object.Set("features", Tensor::wrap(env, result.features));
        object.Set("weight", Tensor::wrap(env, result.weight));
        return object;
      });
}

}  // namespace

void define_collapse_loss(Napi::Env env, Napi::Object exports) {
  exports.Set("collapseLoss", function<loss>(env, "collapseLoss"));
}

}  // namespace ood
