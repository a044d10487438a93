// The native class ResNet: a network on a device, and the jobs that create, train, read and copy it.
#pragma once

#include <napi.h>

#include <memory>

#include "binding/holder.h"
#include "data/augmentation.h"
#include "models/shared_network.h"

namespace ood {

// Images [N, channels, size, size], or of any height and width where the size is 0: uint8, or float32/float64 in 0 … 1.
at::Tensor images_argument(const Napi::Value& value, const char* name, int64_t channels, int64_t size);
// Those that fit the architecture.
at::Tensor images_argument(const Napi::Value& value, const char* name, const Architecture& architecture);
Normalization normalization_argument(const Napi::Value& value, int64_t channels);

class ResNet : public Holder<ResNet, SharedNetwork> {
 public:
  static void define(Napi::Env env, Napi::Object exports);

  explicit ResNet(const Napi::CallbackInfo& info) : Holder(info, "model", nullptr) {}

 private:
  static Napi::Value wrap(Napi::Env env, const std::shared_ptr<SharedNetwork>& shared);
  static Napi::Value describe(const Napi::CallbackInfo& info);
  static Napi::Value create(const Napi::CallbackInfo& info);
  Napi::Value training(const Napi::CallbackInfo& info);
  Napi::Value retain(const Napi::CallbackInfo& info);
  Napi::Value copy(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  Napi::Value load_state(const Napi::CallbackInfo& info);
  Napi::Value forward(const Napi::CallbackInfo& info);
  Napi::Value fit(const Napi::CallbackInfo& info);
  Napi::Value extractor(const Napi::CallbackInfo& info);

  void require_idle(const char* what) const;
};

}  // namespace ood
