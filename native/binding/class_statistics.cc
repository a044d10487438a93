// The native class ClassStatistics.
#include "binding/class_statistics.h"

#include <ATen/ATen.h>

#include "binding/arguments.h"
#include "binding/named_tensors.h"
#include "binding/tensor.h"
#include "core/checks.h"
#include "core/errors.h"

namespace ood {

namespace {

constexpr napi_type_tag statistics_tag{0x6c6962746f726368, 0x6f6f642d73746174};

ScatterKind scatter_argument(const Napi::Value& value, const char* name) {
  return choice_argument<ScatterKind>(
      value, name, {{"full", ScatterKind::full}, {"pooled", ScatterKind::pooled}, {"diagonal", ScatterKind::diagonal}});
}

// new ClassStatistics(numClasses, featureDim, scatter, device)
std::shared_ptr<GatheredMoments> statistics_argument(const Napi::CallbackInfo& info) {
  const int64_t classes = integer_argument(info[0], "numClasses", 1, 1 << 24);
  const int64_t dim = integer_argument(info[1], "featureDim", 1, 1 << 20);
  const ScatterKind scatter = scatter_argument(info[2], "scatter");
  const c10::Device device = device_argument(info[3], "device");
  return std::make_shared<GatheredMoments>(ClassMoments(classes, dim, scatter, device), device);
}

}  // namespace

void ClassStatistics::define(Napi::Env env, Napi::Object exports) {
  exports.Set("ClassStatistics", DefineClass(env, "ClassStatistics",
                                             {
                                                 method<&ClassStatistics::update>("update"),
                                                 method<&ClassStatistics::merge>("merge"),
                                                 method<&ClassStatistics::counts>("counts"),
                                                 method<&ClassStatistics::means>("means"),
                                                 method<&ClassStatistics::covariance>("covariance"),
                                                 method<&ClassStatistics::state>("state"),
                                                 method<&ClassStatistics::load_state>("loadState"),
                                                 dispose_method(),
                                             }));
}

std::shared_ptr<GatheredMoments> ClassStatistics::unwrap(const Napi::Value& value, const char* name) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&statistics_tag)) {
    fail("ERR_OPTION", name, ": expected ClassStatistics");
  }
  return ClassStatistics::Unwrap(value.As<Napi::Object>())->live();
}

ClassStatistics::ClassStatistics(const Napi::CallbackInfo& info)
    : Holder(info, "statistics", [&info] { return statistics_argument(info); }) {
  guarded(info.Env(), [&] { info.This().As<Napi::Object>().TypeTag(&statistics_tag); });
}

// update(control, features, labels)
Napi::Value ClassStatistics::update(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const at::Tensor features = features_argument(info[1], "features");
  const at::Tensor labels = labels_argument(info[2], "labels");
  if (features.size(1) != shared->dim())
    fail("ERR_SHAPE", "features: expected ", shared->dim(), " columns, found ", features.size(1));
  require_pairs(features, labels);
  return submit_keeping(
      info, [=](JobContext&) { return update_moments(shared, features, labels); }, nothing);
}

// merge(control, other)
Napi::Value ClassStatistics::merge(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const auto other = unwrap(info[1], "other");
  if (other->device() != shared->device()) {
    fail("ERR_DEVICE", "other: expected statistics on ", shared->device().str(), ", found ", other->device().str());
  }
  return submit_keeping(
      info, [=](JobContext&) { merge_moments(*shared, *other); }, nothing);
}

// counts(control): int64 [C]
Napi::Value ClassStatistics::counts(const Napi::CallbackInfo& info) {
  const auto shared = live();
  return submit_keeping(
      info, [shared](JobContext&) { return at::tensor(shared->up_to_date().counts(), at::kLong); }, tensor_to_js);
}

// means(control): float64 [C, d]
Napi::Value ClassStatistics::means(const Napi::CallbackInfo& info) {
  const auto shared = live();
  return submit_keeping(
      info,
      [shared](JobContext&) {
        return shared->up_to_date().mean().to(at::kCPU, at::kDouble, /*non_blocking=*/false, /*copy=*/true);
      },
      tensor_to_js);
}

// covariance(control, of, ddof): of = class index, "pooled" or "global"; float64 [d, d]
Napi::Value ClassStatistics::covariance(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const int64_t of = info[1].IsString()
                         ? choice_argument<int64_t>(info[1], "of", {{"pooled", pooled_classes}, {"global", all_rows}})
                         : integer_argument(info[1], "class", 0, shared->classes() - 1);
  const int64_t ddof = integer_argument(info[2], "ddof", 0, 1 << 20);
  return submit_keeping(
      info, [=](JobContext&) { return covariance_of(shared->up_to_date(), of, ddof); }, tensor_to_js);
}

// state(control): [{ name, tensor }]
Napi::Value ClassStatistics::state(const Napi::CallbackInfo& info) {
  const auto shared = live();
  return submit_keeping(
      info, [shared](JobContext&) { return shared->up_to_date().state(); }, named_tensors_to_js);
}

// loadState(control, scatter, state)
Napi::Value ClassStatistics::load_state(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const ScatterKind scatter = scatter_argument(info[1], "scatter");
  const NamedTensors state = named_tensors_argument(info[2], "state");
  return submit_keeping(
      info,
      [=](JobContext&) {
        shared->replace(ClassMoments::from_state(shared->classes(), shared->dim(), scatter, shared->device(), state));
      },
      nothing);
}

}  // namespace ood
