// The addon's entry: what libtorch_ood.node exports, each part defined by the file that owns it.
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/ATen_fwd.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <napi.h>
#include <torch/version.h>

#include <atomic>

#include "binding/arguments.h"
#include "binding/batch_queue.h"
#include "binding/class_statistics.h"
#include "binding/collapse_loss.h"
#include "binding/environment.h"
#include "binding/extractor.h"
#include "binding/gaussian_mixture.h"
#include "binding/job.h"
#include "binding/linalg.h"
#include "binding/nearest_neighbours.h"
#include "binding/neural_collapse.h"
#include "binding/preprocessing.h"
#include "binding/resnet.h"
#include "binding/row_scores.h"
#include "binding/singular_values.h"
#include "binding/tensor.h"
#include "binding/torchscript.h"
#include "binding/virtual_logit.h"
#include "core/checks.h"
#include "core/errors.h"
#include "data/augmentation.h"
#include "platform/cpu_features.h"
#include "runtime/prepare_libtorch.h"

namespace ood {

namespace {

std::atomic<int> compute_threads{0};  // 0: as many as OpenMP chooses

Napi::Value info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object result = Napi::Object::New(env);
  result.Set("libtorch", TORCH_VERSION);
  result.Set("builtFor", LIBTORCH_OOD_BUILT_FOR);
  result.Set("cpuCapability", at::get_cpu_capability());
  result.Set("bfloat16", cpu::has_bfloat16());
  result.Set("threads", compute_threads.load() > 0 ? compute_threads.load() : at::get_num_threads());
  const auto& cuda = at::detail::getCUDAHooks();
  result.Set("cudaDevices", cuda.hasCUDA() ? cuda.deviceCount() : 0);
  return result;
}

// setThreads(control, n): the number of OpenMP threads of the CPU's compute thread.
Napi::Value set_threads(const Napi::CallbackInfo& info) {
  const int threads = static_cast<int>(integer_argument(info[1], "threads", 1, 1024));
  return submit(
      info, c10::Device(c10::kCPU),
      [threads](JobContext&) {
        at::set_num_threads(threads);
        compute_threads.store(threads);
      },
      nothing);
}

// externalMemory(): what V8 has been told of in all, ArrayBuffers included, in bytes.
Napi::Value external_memory(const Napi::CallbackInfo& info) {
  const int64_t bytes = Napi::MemoryManagement::AdjustExternalMemory(info.Env(), 0);
  return Napi::Number::New(info.Env(), static_cast<double>(bytes));
}

// augment(control, images, padding, offsetY, offsetX, flip): the training loop's crop and flip for given draws.
Napi::Value augment_images(const Napi::CallbackInfo& info) {
  const at::Tensor images = tensor_argument(info[1], "images", {}, 4);
  Augmentation augmentation{integer_argument(info[2], "padding", 0, 4096), true};
  const auto draws_argument = [&](size_t index, const char* name, int64_t maximum) {
    const at::Tensor draws = tensor_argument(info[index], name, {at::kLong}, 1);
    if (draws.size(0) != images.size(0))
      fail("ERR_SHAPE", name, ": expected ", images.size(0), " values, found ", draws.size(0));
    require_labels(draws, maximum + 1, name);
    return draws;
  };
  AugmentationDraws draws{draws_argument(3, "offsetY", 2 * augmentation.crop_padding),
                          draws_argument(4, "offsetX", 2 * augmentation.crop_padding), draws_argument(5, "flip", 1)};
  return submit(
      info, c10::Device(c10::kCPU), [=](JobContext&) { return augment(images, augmentation, draws); }, tensor_to_js);
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  prepare_libtorch();
  Environment::attach(env);
  define_job_control(env, exports);
  Tensor::define(env, exports);
  Extractor::define(env, exports);
  QueueObject::define(env, exports);
  ResNet::define(env, exports);
  TorchScript::define(env, exports);
  ClassStatistics::define(env, exports);
  GaussianMixture::define(env, exports);
  NearestNeighbours::define(env, exports);
  VirtualLogit::define(env, exports);
  define_neural_collapse(env, exports);
  define_collapse_loss(env, exports);
  define_preprocessing(env, exports);
  define_row_scores(env, exports);
  define_singular_values(env, exports);
  define_linalg(env, exports);
  exports.Set("info", function<info>(env, "info"));
  exports.Set("externalMemory", function<external_memory>(env, "externalMemory"));
  exports.Set("augment", function<augment_images>(env, "augment"));
  exports.Set("setThreads", function<set_threads>(env, "setThreads"));
  return exports;
}

}  // namespace

}  // namespace ood

static Napi::Object Init(Napi::Env env,
                         Napi::Object exports) {  // NOLINT(readability-identifier-naming): node-addon-api's macro
  return ood::guarded(env, [&] { return ood::initialise(env, exports); });
}

NODE_API_MODULE(libtorch_ood, Init)
