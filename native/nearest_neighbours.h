// The native class NearestNeighbours: the distance of each query to the k-th nearest of some points, by exact search.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <napi.h>

#include <cstdint>
#include <memory>

#include "holder.h"

namespace ood {

// The points that are searched, on a device; written by one job, read by later ones, on the compute thread.
struct NeighbourPoints {
  explicit NeighbourPoints(c10::Device where) : on(where) {}
  c10::Device on;
  at::Tensor points;   // [N, d], float32 or float64 as they were given
  at::Tensor inverse;  // [N, 1], float64: 1/‖point‖, 1 for a zero point; undefined where lengths are kept
  int64_t k = 0;
  // Screens work on (point − centre)·scale.
  at::Tensor centre;  // [d], float64
  double scale = 1;
  c10::Device device() const { return on; }
  int64_t nbytes() const {
    const size_t own = inverse.defined() ? inverse.nbytes() : 0;
    return points.defined() ? static_cast<int64_t>(points.nbytes() + own) : 0;
  }
};

class NearestNeighbours : public Holder<NearestNeighbours, NeighbourPoints> {
 public:
  static void define(Napi::Env env, Napi::Object exports);

  // new NearestNeighbours(device): empty until fit()
  explicit NearestNeighbours(const Napi::CallbackInfo& info) : Holder(info, "score") {}

 private:
  Napi::Value fit(const Napi::CallbackInfo& info);
  Napi::Value distances(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
};

}  // namespace ood
