// The native class ClassStatistics: class moments on a device, and the jobs that feed and read them.
#pragma once

#include <napi.h>

#include <memory>

#include "binding/holder.h"
#include "statistics/gathered_moments.h"

namespace ood {

class ClassStatistics : public Holder<ClassStatistics, GatheredMoments> {
 public:
  static void define(Napi::Env env, Napi::Object exports);
  static std::shared_ptr<GatheredMoments> unwrap(const Napi::Value& value, const char* name);

  // new ClassStatistics(numClasses, featureDim, scatter, device)
  explicit ClassStatistics(const Napi::CallbackInfo& info);

 private:
  Napi::Value update(const Napi::CallbackInfo& info);
  Napi::Value merge(const Napi::CallbackInfo& info);
  Napi::Value counts(const Napi::CallbackInfo& info);
  Napi::Value means(const Napi::CallbackInfo& info);
  Napi::Value covariance(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  Napi::Value load_state(const Napi::CallbackInfo& info);
};

}  // namespace ood
