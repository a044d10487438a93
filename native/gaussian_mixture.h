// The native class GaussianMixture: Gaussian class densities on a device, and the jobs that fit and evaluate them.
#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "gaussian_density.h"
#include "holder.h"

namespace ood {

// A density once it has been fitted or loaded; written by one job, read by later ones, on the compute thread.
struct SharedDensity {
  explicit SharedDensity(c10::Device where) : on(where) {}
  c10::Device on;
  std::optional<GaussianDensity> density;
  c10::Device device() const { return on; }
  int64_t nbytes() const { return density ? density->nbytes() : 0; }
  GaussianDensity& fitted();
};

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
