// The native class VirtualLogit: a residual space on a device, and the jobs that fit and evaluate it.
#pragma once

#include <napi.h>

#include "binding/holder.h"
#include "scores/virtual_logit.h"

namespace ood {

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
