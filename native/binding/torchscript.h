// The native class TorchScript: the model of a TorchScript file, on a device.
#pragma once

#include <napi.h>

#include <memory>

#include "binding/holder.h"
#include "models/torchscript_module.h"

namespace ood {

class TorchScript : public Holder<TorchScript, TorchScriptModule> {
 public:
  static void define(Napi::Env env, Napi::Object exports);

  explicit TorchScript(const Napi::CallbackInfo& info) : Holder(info, "model", nullptr) {}

 private:
  static Napi::Value wrap(Napi::Env env, const std::shared_ptr<TorchScriptModule>& shared);
  static Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value feature_dim(const Napi::CallbackInfo& info);
  Napi::Value num_classes(const Napi::CallbackInfo& info);
  Napi::Value head(const Napi::CallbackInfo& info);
  Napi::Value retain(const Napi::CallbackInfo& info);
  Napi::Value copy(const Napi::CallbackInfo& info);
  Napi::Value extractor(const Napi::CallbackInfo& info);
};

}  // namespace ood
