// The native class VirtualLogit.
#include "binding/virtual_logit.h"

#include "binding/arguments.h"
#include "binding/named_tensors.h"
#include "binding/tensor.h"
#include "core/errors.h"

namespace ood {

namespace {

at::Tensor logits_argument(const Napi::Value& value, const at::Tensor& features) {
  at::Tensor logits = tensor_argument(value, "logits", {at::kFloat, at::kDouble}, 2);
  if (logits.size(0) != features.size(0)) {
    fail("ERR_SHAPE", "logits: expected ", features.size(0), " rows as features has, found ", logits.size(0));
  }
  return logits;
}

}  // namespace

void VirtualLogit::define(Napi::Env env, Napi::Object exports) {
  exports.Set("VirtualLogit", DefineClass(env, "VirtualLogit",
                                          {
                                              method<&VirtualLogit::fit>("fit"),
                                              method<&VirtualLogit::evaluate>("evaluate"),
                                              method<&VirtualLogit::state>("state"),
                                              method<&VirtualLogit::load_state>("loadState"),
                                              dispose_method(),
                                          }));
}

// fit(control, features, logits, weight, bias | undefined, dimension): alpha
Napi::Value VirtualLogit::fit(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const at::Tensor features = features_argument(info[1], "features");
  if (features.size(0) == 0) fail("ERR_SHAPE", "features: expected at least one row, found ", features.sizes());
  if (features.size(1) < 2) fail("ERR_SHAPE", "features: expected at least 2 columns, found ", features.size(1));
  const at::Tensor logits = logits_argument(info[2], features);
  const at::Tensor weight = tensor_argument(info[3], "weight", {at::kFloat, at::kDouble}, 2);
  const at::Tensor bias = optional_tensor_argument(info[4], "bias", {at::kFloat, at::kDouble}, 1);
  if (weight.size(0) != logits.size(1) || weight.size(1) != features.size(1)) {
    fail("ERR_SHAPE", "weight: expected [", logits.size(1), ", ", features.size(1), "], found ", weight.sizes());
  }
  if (bias.defined() && bias.size(0) != logits.size(1)) {
    fail("ERR_SHAPE", "bias: expected ", logits.size(1), " values, found ", bias.size(0));
  }
  const int64_t dimension = integer_argument(info[5], "dimension", 1, features.size(1) - 1);
  const VirtualLogitInputs inputs{features, logits, weight, bias};
  return submit_keeping(
      info, [=](JobContext& job) { return fit_virtual_logit(shared, inputs, dimension, job.poll()); },
      [](Napi::Env env, double alpha) -> Napi::Value { return Napi::Number::New(env, alpha); });
}

// evaluate(control, features, logits): float64 [N]
Napi::Value VirtualLogit::evaluate(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const at::Tensor features = features_argument(info[1], "features");
  const at::Tensor logits = logits_argument(info[2], features);
  return submit(
      info, shared->device(), [=](JobContext&) { return virtual_logit_scores(shared, features, logits); },
      tensor_to_js);
}

// state(control): [{ name, tensor }]
Napi::Value VirtualLogit::state(const Napi::CallbackInfo& info) {
  const auto shared = live();
  return submit(
      info, shared->device(), [shared](JobContext&) { return shared->state(); }, named_tensors_to_js);
}

// loadState(control, featureDim, dimension, state)
Napi::Value VirtualLogit::load_state(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const int64_t dim = integer_argument(info[1], "featureDim", 2, 1 << 20);
  const int64_t dimension = integer_argument(info[2], "dimension", 1, dim - 1);
  const NamedTensors state = named_tensors_argument(info[3], "state");
  return submit_keeping(
      info, [=](JobContext&) { *shared = ResidualSpace::from_state(dim, dimension, state, shared->on); }, nothing);
}

}  // namespace ood
