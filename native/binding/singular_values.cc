// The native functions of singular values.
#include "binding/singular_values.h"

#include <algorithm>
#include <optional>

#include "binding/arguments.h"
#include "binding/job.h"
#include "binding/named_tensors.h"
#include "core/checks.h"
#include "core/errors.h"
#include "statistics/singular_values.h"

namespace ood {

namespace {

// singularValues(control, features, { k?, centred }, device)
Napi::Value of_features(const Napi::CallbackInfo& info) {
  const at::Tensor features = features_argument(info[1], "features");
  require_rows(features);
  const Napi::Object options = object_argument(info[2], "options");
  const bool centred = boolean_argument(options.Get("centred"), "centred");
  std::optional<int64_t> k;
  if (!options.Get("k").IsUndefined())
    k = integer_argument(options.Get("k"), "k", 1, std::min(features.size(0), features.size(1)));
  const c10::Device device = device_argument(info[3], "device");
  return submit(
      info, device, [=](JobContext&) { return singular_values(features, k, centred, device); }, named_tensors_to_js);
}

// projectedSingularValues(control, features, basis, centre | undefined, device)
Napi::Value in_basis(const Napi::CallbackInfo& info) {
  const at::Tensor features = features_argument(info[1], "features");
  require_rows(features);
  const int64_t dim = features.size(1);
  const at::Tensor basis = tensor_argument(info[2], "basis", {at::kFloat, at::kDouble}, 2);
  if (basis.size(0) != dim || basis.size(1) < 1 || basis.size(1) > dim) {
    fail("ERR_SHAPE", "basis: expected [", dim, ", 1 to ", dim, "] for features of ", dim, " columns, found ",
         basis.sizes());
  }
  const at::Tensor centre = optional_tensor_argument(info[3], "centre", {at::kFloat, at::kDouble}, 1);
  if (centre.defined() && centre.size(0) != dim)
    fail("ERR_SHAPE", "centre: expected ", dim, " values, found ", centre.size(0));
  const c10::Device device = device_argument(info[4], "device");
  return submit(
      info, device, [=](JobContext&) { return projected_singular_values(features, basis, centre, device); },
      named_tensors_to_js);
}

}  // namespace

void define_singular_values(Napi::Env env, Napi::Object exports) {
  exports.Set("singularValues", function<of_features>(env, "singularValues"));
  exports.Set("projectedSingularValues", function<in_basis>(env, "projectedSingularValues"));
}

}  // namespace ood
