// The native class Extractor: what a snapshot of a model gives of many images.
#pragma once

#include <napi.h>

#include <memory>

#include "binding/holder.h"
#include "models/inference_model.h"

namespace ood {

class Extractor : public Holder<Extractor, const InferenceModel> {
 public:
  static void define(Napi::Env env, Napi::Object exports);
  static Napi::Value wrap(Napi::Env env, std::shared_ptr<const InferenceModel> model);

  explicit Extractor(const Napi::CallbackInfo& info) : Holder(info, "extractor", nullptr) {}

 private:
  Napi::Value extract(const Napi::CallbackInfo& info);
};

}  // namespace ood
