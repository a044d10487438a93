// The native class BatchQueue.
#include "binding/batch_queue.h"

#include <ATen/ATen.h>

#include "binding/arguments.h"
#include "binding/tensor.h"
#include "core/errors.h"

namespace ood {

namespace {

constexpr napi_type_tag queue_tag{0x6c6962746f726368, 0x6f6f642d71756575};

}  // namespace

QueueObject::QueueObject(const Napi::CallbackInfo& info) : Wrapped(info) {
  guarded(info.Env(), [&] { info.This().As<Napi::Object>().TypeTag(&queue_tag); });
}

void QueueObject::define(Napi::Env env, Napi::Object exports) {
  exports.Set("BatchQueue",
              DefineClass(env, "BatchQueue",
                          {method<&QueueObject::push>("push"), method<&QueueObject::push_end>("pushEnd"),
                           getter<&QueueObject::length>("length"), method<&QueueObject::dispose>("dispose")}));
}

// push(images, labels): uint8 [B, C, H, W] and int32 [B], whose memory the queue shares
Napi::Value QueueObject::push(const Napi::CallbackInfo& info) {
  const at::Tensor images = tensor_argument(info[0], "images", {at::kByte}, 4);
  const at::Tensor labels = tensor_argument(info[1], "labels", {at::kInt}, 1);
  if (images.size(0) == 0 || labels.size(0) != images.size(0)) {
    fail("ERR_SHAPE", "labels: expected as many as images, at least one, found ", labels.size(0), " and ",
         images.size(0));
  }
  queue_->push(images, labels);
  return info.Env().Undefined();
}

// pushEnd(): the epoch, or its validation, is over
Napi::Value QueueObject::push_end(const Napi::CallbackInfo& info) {
  queue_->push_end();
  return info.Env().Undefined();
}

Napi::Value QueueObject::length(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(queue_->length()));
}

// dispose(): frees what nobody will take any more
Napi::Value QueueObject::dispose(const Napi::CallbackInfo& info) {
  queue_->clear();
  return info.Env().Undefined();
}

std::shared_ptr<BatchQueue> queue_argument(const Napi::Value& value, const char* name) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&queue_tag))
    fail("ERR_OPTION", name, ": expected a BatchQueue");
  return QueueObject::Unwrap(value.As<Napi::Object>())->queue();
}

}  // namespace ood
