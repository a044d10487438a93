// The native class VirtualLogit: the score of ViM (Wang et al. 2022), the free energy of the logits against a virtual
// logit, the length of what the principal subspace of the training features leaves of a feature.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <napi.h>

#include <memory>

#include "holder.h"

namespace ood {

// What a fit comes to, float64, on a device; written by one job, read by later ones, on the compute thread.
struct ResidualSpace {
  explicit ResidualSpace(c10::Device where) : on(where) {}
  c10::Device on;
  at::Tensor origin;  // [d]
  at::Tensor basis;   // [d, d − D], orthonormal columns: what is orthogonal to the principal subspace
  double alpha = 0;
  c10::Device device() const { return on; }
  int64_t nbytes() const { return origin.defined() ? static_cast<int64_t>(origin.nbytes() + basis.nbytes()) : 0; }
};

class VirtualLogit : public Holder<VirtualLogit, ResidualSpace> {
 public:
  static void define(Napi::Env env, Napi::Object exports);

  // new VirtualLogit(device): empty until fit() or loadState()
  explicit VirtualLogit(const Napi::CallbackInfo& info) : Holder(info, "score") {}

 private:
  Napi::Value fit(const Napi::CallbackInfo& info);
  Napi::Value evaluate(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  Napi::Value load_state(const Napi::CallbackInfo& info);
};

}  // namespace ood
