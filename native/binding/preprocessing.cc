// The native functions that make pixels into what a network reads.
#include "binding/preprocessing.h"

#include "binding/arguments.h"
#include "binding/job.h"
#include "binding/resnet.h"
#include "binding/tensor.h"
#include "core/checks.h"
#include "data/augmentation.h"
#include "data/preprocessing.h"

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

// Bytes of a typed array, or of a native tensor, which stay where they are as long as their owner does.
struct Bytes {
  uint8_t* data;
  int64_t length;
  at::Tensor owner;  // undefined for a typed array
};

Bytes array_bytes(const Napi::Value& value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    fail("ERR_DTYPE", name, ": expected a Uint8Array");
  const auto array = value.As<Napi::Uint8Array>();
  return {const_cast<Napi::Uint8Array&>(array).Data(), static_cast<int64_t>(array.ElementLength()), {}};
}

Bytes bytes_argument(const Napi::Value& value, const char* name) {
  if (value.IsTypedArray()) return array_bytes(value, name);
  at::Tensor tensor = tensor_argument(value, name, {at::kByte});
  auto* const data = tensor.mutable_data_ptr<uint8_t>();
  return {data, tensor.numel(), std::move(tensor)};
}

constexpr int64_t largest_side = 1 << 20;

Variation variation_argument(const Napi::Value& value, int64_t width, int64_t height) {
  Variation variation;
  if (value.IsUndefined()) return variation;
  const Napi::Object object = object_argument(value, "variation");
  if (!object.Get("window").IsUndefined()) {
    const std::vector<int64_t> window = integers_argument(object.Get("window"), "variation.window");
    if (window.size() != 4 || window[0] < 0 || window[1] < 0 || window[2] < 1 || window[3] < 1 ||
        window[0] > width - window[2] || window[1] > height - window[3])
      fail("ERR_RANGE", "variation.window: expected left, top, width, height within ", width, "×", height);
    variation.window = {window[0], window[1], window[2], window[3]};
  }
  variation.shift_x = integer_argument(object.Get("shiftX"), "variation.shiftX", -largest_side, largest_side);
  variation.shift_y = integer_argument(object.Get("shiftY"), "variation.shiftY", -largest_side, largest_side);
  variation.flip = boolean_argument(object.Get("flip"), "variation.flip");
  if (!object.Get("colours").IsArray()) fail("ERR_OPTION", "variation.colours: expected an array");
  const auto colours = object.Get("colours").As<Napi::Array>();
  for (uint32_t i = 0; i < colours.Length(); ++i) {
    const Napi::Object step = object_argument(colours.Get(i), "variation.colours");
    variation.colours.push_back({choice_argument<ColourChange>(step.Get("change"), "variation.colours.change",
                                                               {{"brightness", ColourChange::brightness},
                                                                {"contrast", ColourChange::contrast},
                                                                {"saturation", ColourChange::saturation},
                                                                {"hue", ColourChange::hue}}),
                                 number_argument(step.Get("factor"), "variation.colours.factor")});
  }
  return variation;
}

DecodedImage image_argument(const Napi::Value& value) {
  const Napi::Object object = object_argument(value, "images");
  const Bytes bytes = array_bytes(object.Get("pixels"), "images.pixels");
  DecodedImage image{};
  StoredPixels& pixels = image.pixels;
  pixels.bytes = bytes.data;
  pixels.width = integer_argument(object.Get("width"), "images.width", 1, largest_side);
  pixels.height = integer_argument(object.Get("height"), "images.height", 1, largest_side);
  pixels.channels = integer_argument(object.Get("channels"), "images.channels", 1, 4);
  pixels.orientation = static_cast<int>(integer_argument(object.Get("orientation"), "images.orientation", 1, 8));
  pixels.layout = choice_argument<PixelLayout>(
      object.Get("layout"), "images.layout",
      {{"interleaved", PixelLayout::interleaved}, {"planes", PixelLayout::planes}, {"inks", PixelLayout::inks}});
  image.original_width = integer_argument(object.Get("originalWidth"), "images.originalWidth", 1, largest_side);
  image.original_height = integer_argument(object.Get("originalHeight"), "images.originalHeight", 1, largest_side);
  const bool turned = pixels.turned();
  image.variation = variation_argument(object.Get("variation"), turned ? image.original_height : image.original_width,
                                       turned ? image.original_width : image.original_height);
  const bool fits = pixels.layout == PixelLayout::inks     ? pixels.channels == 4
                    : pixels.layout == PixelLayout::planes ? pixels.channels == 1 || pixels.channels == 3
                                                           : true;
  if (!fits || bytes.length != pixels.width * pixels.height * pixels.channels) {
    fail("ERR_SHAPE", "images: expected ", pixels.width, "×", pixels.height, " pixels of ", pixels.channels,
         " channels, found ", bytes.length, " bytes");
  }
  return image;
}

ImageGeometry geometry_argument(const Napi::Value& value) {
  const Napi::Object object = object_argument(value, "geometry");
  ImageGeometry geometry{};
  geometry.channels = integer_argument(object.Get("channels"), "channels", 1, 3);
  if (geometry.channels == 2) fail("ERR_SHAPE", "channels: expected 1 or 3, found 2");
  geometry.size = integer_argument(object.Get("size"), "size", 1, 1 << 16);
  geometry.resize = choice_argument<ResizeMode>(
      object.Get("resize"), "resize",
      {{"center-crop", ResizeMode::center_crop}, {"squash", ResizeMode::squash}, {"none", ResizeMode::none}});
  geometry.resize_to = integer_argument(object.Get("resizeTo"), "resizeTo", geometry.size, 1 << 16);
  geometry.kernel = choice_argument<ResizeKernel>(
      object.Get("kernel"), "kernel", {{"bilinear", ResizeKernel::bilinear}, {"bicubic", ResizeKernel::bicubic}});
  geometry.antialias = boolean_argument(object.Get("antialias"), "antialias");
  return geometry;
}

// preprocessImages(control, images, geometry, destination, rows): undefined
Napi::Value preprocess_images(const Napi::CallbackInfo& info) {
  if (!info[1].IsArray()) fail("ERR_OPTION", "images: expected an array");
  const auto given = info[1].As<Napi::Array>();
  const ImageGeometry geometry = geometry_argument(info[2]);
  const Bytes destination = bytes_argument(info[3], "destination");
  const int64_t length = geometry.channels * geometry.size * geometry.size;
  const std::vector<int64_t> rows = integers_argument(info[4], "rows");
  if (rows.size() != given.Length())
    fail("ERR_SHAPE", "rows: expected ", given.Length(), ", one per image, found ", rows.size());
  std::vector<DecodedImage> images;
  std::vector<uint8_t*> planes;
  Napi::Array pinned = Napi::Array::New(info.Env());
  pinned.Set(given.Length(), info[3]);
  for (uint32_t i = 0; i < given.Length(); ++i) {
    const Napi::Value image = given.Get(i);
    images.push_back(image_argument(image));
    pinned.Set(i, image.As<Napi::Object>().Get("pixels"));
    if (rows[i] >= destination.length / length)
      fail("ERR_RANGE", "rows: expected less than ", destination.length / length, ", found ", rows[i]);
    planes.push_back(destination.data + rows[i] * length);
  }
  return submit(
      info, c10::Device(c10::kCPU),
      [=, owner = destination.owner](JobContext& job) { return preprocess_all(images, geometry, planes, job.poll()); },
      nothing, {}, pinned);
}

}  // namespace

void define_preprocessing(Napi::Env env, Napi::Object exports) {
  exports.Set("preprocessImages", function<preprocess_images>(env, "preprocessImages"));
  exports.Set("normalizeImages", function<normalize_images>(env, "normalizeImages"));
}

}  // namespace ood
