// The native class NearestNeighbours: points on a device, and the jobs that search them.
#pragma once

#include <napi.h>

#include "binding/holder.h"
#include "scores/nearest_neighbours.h"

namespace ood {

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
