// The native class Tensor: an array in host memory that JavaScript holds by handle, so that features and images cross
// the boundary without a copy. Device memory never reaches JavaScript.
#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <string>

#include "binding/job.h"

namespace ood {

at::ScalarType dtype_argument(const Napi::Value& value, const char* name);

class Tensor : public Wrapped<Tensor> {
 public:
  static void define(Napi::Env env, Napi::Object exports);

  // A new JavaScript handle of a tensor (made contiguous, and moved to host memory if need be).
  static Napi::Value wrap(Napi::Env env, const at::Tensor& tensor);

  // The tensor behind a handle; ERR_OPTION for anything else, ERR_DISPOSED after dispose().
  static at::Tensor unwrap(const Napi::Value& value, const char* name);

  // new Tensor(typedArray | null, shape, dtype): a copy of the array, or numbers that write() is to set before any is read.
  explicit Tensor(const Napi::CallbackInfo& info);
  ~Tensor() override;

 private:
  Napi::Value shape(const Napi::CallbackInfo& info);
  Napi::Value dtype(const Napi::CallbackInfo& info);
  Napi::Value disposed(const Napi::CallbackInfo& info);
  Napi::Value to_typed_array(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value slice(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  void hold(Napi::Env env, at::Tensor tensor);
  const at::Tensor& live(const char* name) const;

  at::Tensor tensor_;
  int64_t accounted_bytes_ = 0;
};

// The handle of a call's result.
inline Napi::Value tensor_to_js(Napi::Env env, const at::Tensor& tensor) { return Tensor::wrap(env, tensor); }

}  // namespace ood
