// The native functions that make pixels into what a network reads.
#include "binding/preprocessing.h"

#include "binding/arguments.h"
#include "binding/job.h"
#include "binding/resnet.h"
#include "binding/tensor.h"
#include "core/checks.h"
#include "data/augmentation.h"

namespace ood {

namespace {

// normalizeImages(control, images, { start, end, mean, std }): float32 [end − start, C, H, W]
Napi::Value normalize_images(const Napi::CallbackInfo& info) {
  const at::Tensor images = tensor_argument(info[1], "images", {at::kByte, at::kFloat, at::kDouble}, 4);
  const Napi::Object object = object_argument(info[2], "options");
  const int64_t start = integer_argument(object.Get("start"), "start", 0, images.size(0));
  const int64_t end = integer_argument(object.Get("end"), "end", start, images.size(0));
  const Normalization normalization = normalization_argument(object, images.size(1));
  return submit(
      info, c10::Device(c10::kCPU),
      [=](JobContext&) {
        const at::Tensor batch = images.slice(0, start, end);
        require_finite(batch, "images");
        return normalise(batch, normalization, at::kFloat, at::MemoryFormat::Contiguous);
      },
      tensor_to_js);
}

}  // namespace

void define_preprocessing(Napi::Env env, Napi::Object exports) {
  exports.Set("normalizeImages", function<normalize_images>(env, "normalizeImages"));
}

}  // namespace ood
