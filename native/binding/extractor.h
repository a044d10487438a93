// The native class Extractor: what a folded snapshot of a network gives of many images.
#pragma once

#include <napi.h>

#include <memory>

#include "binding/holder.h"
#include "models/folded_network.h"

namespace ood {

class Extractor : public Holder<Extractor, const FoldedNetwork> {
 public:
  static void define(Napi::Env env, Napi::Object exports);
  static Napi::Value wrap(Napi::Env env, std::shared_ptr<const FoldedNetwork> network);

  explicit Extractor(const Napi::CallbackInfo& info) : Holder(info, "extractor", nullptr) {}

 private:
  Napi::Value extract(const Napi::CallbackInfo& info);
};

}  // namespace ood
