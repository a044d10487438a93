// The native class NearestNeighbours.
#include "binding/nearest_neighbours.h"

#include "binding/arguments.h"
#include "binding/named_tensors.h"
#include "binding/tensor.h"
#include "core/checks.h"

namespace ood {

void NearestNeighbours::define(Napi::Env env, Napi::Object exports) {
  exports.Set("NearestNeighbours", DefineClass(env, "NearestNeighbours",
                                               {
                                                   method<&NearestNeighbours::fit>("fit"),
                                                   method<&NearestNeighbours::distances>("distances"),
                                                   method<&NearestNeighbours::state>("state"),
                                                   dispose_method(),
                                               }));
}

// fit(control, features, { k, normalize })
Napi::Value NearestNeighbours::fit(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const at::Tensor features = features_argument(info[1], "features");
  require_rows(features);
  const Napi::Object options = object_argument(info[2], "options");
  const int64_t k = integer_argument(options.Get("k"), "k", 1, features.size(0));
  const bool normalize = boolean_argument(options.Get("normalize"), "normalize");
  return submit_keeping(
      info, [=](JobContext&) { return fit_neighbours(shared, features, k, normalize); }, nothing);
}

// distances(control, features): float64 [N]
Napi::Value NearestNeighbours::distances(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const at::Tensor queries = features_argument(info[1], "features");
  return submit(
      info, shared->device(), [=](JobContext&) { return neighbour_distances(shared, queries); }, tensor_to_js);
}

// state(control): [{ points [N, d] as they were given }]
Napi::Value NearestNeighbours::state(const Napi::CallbackInfo& info) {
  const auto shared = live();
  return submit(
      info, shared->device(),
      [shared](JobContext&) {
        return NamedTensors{{"points", fitted_points(*shared)}};
      },
      named_tensors_to_js);
}

}  // namespace ood
