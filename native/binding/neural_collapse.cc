// The native functions of the neural-collapse numbers.
#include "binding/neural_collapse.h"

#include <optional>
#include <utility>

#include "binding/arguments.h"
#include "binding/class_statistics.h"
#include "binding/job.h"
#include "core/checks.h"
#include "core/errors.h"
#include "statistics/neural_collapse.h"

namespace ood {

namespace {

Napi::Value to_js(Napi::Env env, const CollapseNumbers& numbers) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("nc1", numbers.nc1);
  result.Set("rank", static_cast<double>(numbers.rank));
  result.Set("enMeans", numbers.en_means);
  result.Set("enMeansDdof0", numbers.en_means_ddof0);
  result.Set("eaMeans", numbers.ea_means);
  result.Set("etfDistanceMeans", numbers.etf_distance_means);
  if (numbers.classifier) {
    const ClassifierNumbers& classifier = *numbers.classifier;
    result.Set("enClassifier", classifier.en);
    result.Set("enClassifierDdof0", classifier.en_ddof0);
    result.Set("eaClassifier", classifier.ea);
    result.Set("nc3", classifier.nc3);
    result.Set("nc3UnitColumns", classifier.nc3_unit_columns);
    result.Set("etfDistanceClassifier", classifier.etf_distance);
  }
  const auto optional = [&](const std::optional<double>& value) {
    return value ? Napi::Value(Napi::Number::New(env, *value)) : env.Undefined();
  };
  result.Set("nc4", optional(numbers.nc4));
  result.Set("nc4Labels", optional(numbers.nc4_labels));
  Napi::Array classes = Napi::Array::New(env, numbers.classes.size());
  for (uint32_t i = 0; i < numbers.classes.size(); ++i) classes.Set(i, static_cast<double>(numbers.classes[i]));
  result.Set("classes", classes);
  return result;
}

void require_weight_shape(const at::Tensor& weight, int64_t classes, int64_t dim) {
  if (weight.size(0) != classes || weight.size(1) != dim)
    fail("ERR_SHAPE", "weight: expected [", classes, ", ", dim, "], found ", weight.sizes());
}

void require_length(const at::Tensor& list, int64_t length, const char* name) {
  if (list.defined() && list.size(0) != length)
    fail("ERR_SHAPE", name, ": expected ", length, " values, found ", list.size(0));
}

std::optional<double> rcond_argument(const Napi::Value& value) {
  if (value.IsUndefined()) return std::nullopt;
  return number_argument(value, "rcond", 0, 1);
}

// measureCollapse(control, features, labels, predictions | undefined, weight | undefined, bias | undefined,
// rcond | undefined, device, classes)
Napi::Value measure(const Napi::CallbackInfo& info) {
  CollapseInputs inputs;
  inputs.device = device_argument(info[7], "device");
  inputs.features = features_argument(info[1], "features");
  inputs.labels = labels_argument(info[2], "labels");
  if (!info[3].IsUndefined()) inputs.predictions = labels_argument(info[3], "predictions");
  inputs.weight = optional_tensor_argument(info[4], "weight", {at::kFloat, at::kDouble}, 2);
  inputs.bias = optional_tensor_argument(info[5], "bias", {at::kFloat, at::kDouble}, 1);
  inputs.rcond = rcond_argument(info[6]);
  inputs.classes = integer_argument(info[8], "classes", 1, 1 << 24);
  require_rows(inputs.features);
  if (inputs.weight.defined()) require_weight_shape(inputs.weight, inputs.classes, inputs.features.size(1));
  require_length(inputs.labels, inputs.features.size(0), "labels");
  require_length(inputs.predictions, inputs.features.size(0), "predictions");
  require_length(inputs.bias, inputs.classes, "bias");
  const c10::Device device = inputs.device;
  return submit(
      info, device, [inputs = std::move(inputs)](JobContext&) { return measure_collapse(inputs); },
      [](Napi::Env env, const CollapseNumbers& numbers) { return to_js(env, numbers); });
}

// measureCollapseOfStatistics(control, statistics, weight | undefined, rcond | undefined): every number but NC4
Napi::Value measure_statistics(const Napi::CallbackInfo& info) {
  const auto statistics = ClassStatistics::unwrap(info[1], "statistics");
  const at::Tensor weight = optional_tensor_argument(info[2], "weight", {at::kFloat, at::kDouble}, 2);
  const std::optional<double> rcond = rcond_argument(info[3]);
  if (weight.defined()) require_weight_shape(weight, statistics->classes(), statistics->dim());
  return submit(
      info, statistics->device(),
      [=](JobContext&) { return collapse_of_moments(statistics->up_to_date(), weight, rcond); },
      [](Napi::Env env, const CollapseNumbers& numbers) { return to_js(env, numbers); });
}

}  // namespace

void define_neural_collapse(Napi::Env env, Napi::Object exports) {
  exports.Set("measureCollapse", function<measure>(env, "measureCollapse"));
  exports.Set("measureCollapseOfStatistics", function<measure_statistics>(env, "measureCollapseOfStatistics"));
}

}  // namespace ood
