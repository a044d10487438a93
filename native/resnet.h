// The native class ResNet: a network on a device, and the jobs that create, train, read and copy it.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>

#include "augmentation.h"
#include "executor.h"
#include "folded_network.h"
#include "job.h"
#include "network.h"

namespace ood {

// Images [N, C, H, W] that fit the architecture: uint8, or float32/float64 in 0 … 1.
at::Tensor images_argument(const Napi::Value& value, const char* name, const Architecture& architecture);
Normalization normalization_argument(const Napi::Value& value, int64_t channels);

// A network, whether a training run has it now, and its folded copy; shared by the JavaScript handle and the jobs in
// flight.
struct SharedNetwork {
  SharedNetwork(std::shared_ptr<Network> owned, c10::Device where) : network(std::move(owned)), on(where) {}
  std::shared_ptr<Network> network;
  c10::Device on;
  std::atomic<bool> training{false};
  c10::Device device() const { return on; }

  // The network folded for inference in `dtype`: the last one while the weights stay as they are. On the compute
  // thread.
  std::shared_ptr<const FoldedNetwork> folded(at::ScalarType dtype);
  void drop_folded() { folded_.reset(); }

 private:
  std::shared_ptr<const FoldedNetwork> folded_;
  uint64_t folded_revision_ = 0;
};

class ResNet : public Wrapped<ResNet> {
 public:
  static void define(Napi::Env env, Napi::Object exports);

  explicit ResNet(const Napi::CallbackInfo& info) : Wrapped(info) {}
  ~ResNet() override;

 private:
  static Napi::Value create(const Napi::CallbackInfo& info);
  Napi::Value training(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  Napi::Value load_state(const Napi::CallbackInfo& info);
  Napi::Value forward(const Napi::CallbackInfo& info);
  Napi::Value fit(const Napi::CallbackInfo& info);
  Napi::Value extractor(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  void hold(Napi::Env env, std::shared_ptr<SharedNetwork> shared);
  const std::shared_ptr<SharedNetwork>& live() const;
  void require_idle(const char* what) const;

  std::shared_ptr<SharedNetwork> shared_;
  int64_t accounted_bytes_ = 0;
};

}  // namespace ood
