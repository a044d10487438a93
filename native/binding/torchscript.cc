// The native class TorchScript.
#include "binding/torchscript.h"

#include <ATen/ATen.h>

#include "binding/arguments.h"
#include "binding/environment.h"
#include "binding/extractor.h"
#include "binding/named_tensors.h"
#include "core/errors.h"

namespace ood {

void TorchScript::define(Napi::Env env, Napi::Object exports) {
  const Napi::Function constructor = DefineClass(env, "TorchScript",
                                                 {
                                                     getter<&TorchScript::feature_dim>("featureDim"),
                                                     getter<&TorchScript::num_classes>("numClasses"),
                                                     method<&TorchScript::head>("head"),
                                                     method<&TorchScript::retain>("retain"),
                                                     method<&TorchScript::copy>("copy"),
                                                     method<&TorchScript::extractor>("extractor"),
                                                     dispose_method(),
                                                 });
  Environment::of(env).torchscript_constructor = Napi::Persistent(constructor);
  Napi::Object statics = Napi::Object::New(env);
  statics.Set("load", function<&TorchScript::load>(env, "load"));
  exports.Set("TorchScript", statics);
}

// load(control, bytes, { path, features, channels, size, device })
Napi::Value TorchScript::load(const Napi::CallbackInfo& info) {
  const at::Tensor bytes = tensor_argument(info[1], "bytes", {at::kByte}, 1);
  const Napi::Object object = object_argument(info[2], "options");
  TorchScriptOptions options;
  options.path = string_argument(object.Get("path"), "path");
  if (const Napi::Value features = object.Get("features"); !features.IsUndefined())
    options.features = string_argument(features, "features");
  options.channels = integer_argument(object.Get("channels"), "channels", 1, 4096);
  options.size = integer_argument(object.Get("size"), "size", 1, 4096);
  options.device = device_argument(object.Get("device"), "device");
  return submit(
      info, options.device, [=](JobContext&) { return load_torchscript(bytes, options); }, &TorchScript::wrap);
}

Napi::Value TorchScript::wrap(Napi::Env env, const std::shared_ptr<TorchScriptModule>& shared) {
  const Napi::Object object = Environment::of(env).torchscript_constructor.New({});
  TorchScript::Unwrap(object)->hold(env, shared);
  return object;
}

Napi::Value TorchScript::feature_dim(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(live()->model().feature_dim()));
}

// 0 where the model gives no logits
Napi::Value TorchScript::num_classes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(live()->model().num_classes()));
}

// head(): "weight" and "bias"; empty where no linear layer makes logits of the features
Napi::Value TorchScript::head(const Napi::CallbackInfo& info) {
  return named_tensors_to_js(info.Env(), live()->head());
}

// retain(): another object of the same model, which outlives the disposal of this one
Napi::Value TorchScript::retain(const Napi::CallbackInfo& info) {
  const std::shared_ptr<TorchScriptModule>& shared = live();
  const Napi::Object object = Environment::of(info.Env()).torchscript_constructor.New({});
  TorchScript::Unwrap(object)->share(shared);
  return object;
}

// copy(): the same, for an object that is kept: it tells of the memory too, since it may be the last to hold it
Napi::Value TorchScript::copy(const Napi::CallbackInfo& info) { return wrap(info.Env(), live()); }

// extractor(control, { precision })
Napi::Value TorchScript::extractor(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const auto dtype = choice_argument<at::ScalarType>(object_argument(info[1], "options").Get("precision"), "precision",
                                                     {{"float32", at::kFloat}, {"bfloat16", at::kBFloat16}});
  return submit(
      info, shared->device(), [=](JobContext&) { return shared->inference(dtype); },
      [](Napi::Env env, std::shared_ptr<const InferenceModel>& model) {
        return Extractor::wrap(env, std::move(model));
      });
}

}  // namespace ood
