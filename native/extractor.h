// The native class Extractor: features and logits of many images, from a folded snapshot of a network.
#pragma once

#include <napi.h>

#include <memory>

#include "folded_network.h"
#include "job.h"

namespace ood {

class Extractor : public Wrapped<Extractor> {
 public:
  static void define(Napi::Env env, Napi::Object exports);
  static Napi::Value wrap(Napi::Env env, std::shared_ptr<const FoldedNetwork> network);

  explicit Extractor(const Napi::CallbackInfo& info) : Wrapped(info) {}
  ~Extractor() override;

 private:
  Napi::Value extract(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<const FoldedNetwork> network_;
};

}  // namespace ood
