// The native class BatchQueue: what JavaScript hands over to a training run, batch by batch.
#pragma once

#include <napi.h>

#include <memory>

#include "binding/job.h"
#include "data/batch_source.h"

namespace ood {

class QueueObject : public Wrapped<QueueObject> {
 public:
  static void define(Napi::Env env, Napi::Object exports);

  explicit QueueObject(const Napi::CallbackInfo& info);

  const std::shared_ptr<BatchQueue>& queue() const { return queue_; }

 private:
  Napi::Value push(const Napi::CallbackInfo& info);
  Napi::Value push_end(const Napi::CallbackInfo& info);
  Napi::Value length(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<BatchQueue> queue_ = std::make_shared<BatchQueue>();
};

// ERR_OPTION for anything but a BatchQueue.
std::shared_ptr<BatchQueue> queue_argument(const Napi::Value& value, const char* name);

}  // namespace ood
