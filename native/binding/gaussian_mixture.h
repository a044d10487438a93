// The native class GaussianMixture: Gaussian class densities on a device, and the jobs that fit and evaluate them.
#pragma once

#include <napi.h>

#include "binding/holder.h"
#include "statistics/gaussian_mixture.h"

namespace ood {

class GaussianMixture : public Holder<GaussianMixture, SharedDensity> {
 public:
  static void define(Napi::Env env, Napi::Object exports);

  // new GaussianMixture(device): empty until fit() or loadState()
  explicit GaussianMixture(const Napi::CallbackInfo& info) : Holder(info, "mixture") {}

 private:
  Napi::Value fit(const Napi::CallbackInfo& info);
  Napi::Value fit_features(const Napi::CallbackInfo& info);
  Napi::Value evaluate(const Napi::CallbackInfo& info);
  Napi::Value parameters(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  Napi::Value load_state(const Napi::CallbackInfo& info);
};

}  // namespace ood
