// The native functions that make pixels into what a network reads.
#include "binding/preprocessing.h"

#include "binding/arguments.h"
#include "binding/job.h"
#include "binding/resnet.h"
#include "binding/tensor.h"
#include "core/checks.h"
#include "data/augmentation.h"
#include "data/preprocessing.h"
#include "images/decoding.h"

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

int64_t pixels_length(const ImageGeometry& geometry) { return geometry.channels * geometry.size * geometry.size; }

// The planes of each row of the destination.
std::vector<uint8_t*> planes_of(const Bytes& destination, const ImageGeometry& geometry,
                                const std::vector<int64_t>& rows, uint32_t count) {
  if (rows.size() != count) fail("ERR_SHAPE", "rows: expected ", count, ", one per image, found ", rows.size());
  const int64_t length = pixels_length(geometry);
  std::vector<uint8_t*> planes;
  for (const int64_t row : rows) {
    if (row < 0 || row >= destination.length / length)
      fail("ERR_RANGE", "rows: expected less than ", destination.length / length, ", found ", row);
    planes.push_back(destination.data + row * length);
  }
  return planes;
}

// preprocessImages(control, images, geometry, destination, rows): undefined
Napi::Value preprocess_images(const Napi::CallbackInfo& info) {
  if (!info[1].IsArray()) fail("ERR_OPTION", "images: expected an array");
  const auto given = info[1].As<Napi::Array>();
  const ImageGeometry geometry = geometry_argument(info[2]);
  const Bytes destination = bytes_argument(info[3], "destination");
  const std::vector<uint8_t*> planes =
      planes_of(destination, geometry, integers_argument(info[4], "rows"), given.Length());
  std::vector<DecodedImage> images;
  Napi::Array pinned = Napi::Array::New(info.Env());
  pinned.Set(given.Length(), info[3]);
  for (uint32_t i = 0; i < given.Length(); ++i) {
    const Napi::Value image = given.Get(i);
    images.push_back(image_argument(image));
    pinned.Set(i, image.As<Napi::Object>().Get("pixels"));
  }
  return submit(
      info, c10::Device(c10::kCPU),
      [=, owner = destination.owner](JobContext& job) { return preprocess_all(images, geometry, planes, job.poll()); },
      nothing, {}, pinned);
}

Napi::Value reports_to_js(Napi::Env env, const std::vector<DecodeReport>& reports) {
  const Napi::Array list = Napi::Array::New(env, reports.size());
  for (uint32_t i = 0; i < reports.size(); ++i) {
    const DecodeReport& report = reports[i];
    const Napi::Object object = Napi::Object::New(env);
    object.Set("index", static_cast<double>(report.index));
    object.Set("status", report.status == DecodeStatus::damaged     ? "damaged"
                         : report.status == DecodeStatus::truncated ? "truncated"
                                                                    : "declined");
    object.Set("words", report.words);
    if (report.header) {
      const Napi::Object header = Napi::Object::New(env);
      header.Set("width", static_cast<double>(report.header->width));
      header.Set("height", static_cast<double>(report.header->height));
      header.Set("orientation", report.header->orientation);
      header.Set("inks", report.header->inks);
      header.Set("inRows", report.header->in_rows);
      object.Set("header", header);
    }
    list.Set(i, object);
  }
  return list;
}

// The executor that hands images to the threads of images/decode_threads.h and waits for them. It is not that of the
// CPU, whose steps, which compute, would keep the images waiting; the index serves to tell the two apart.
const c10::Device decoding_executor(c10::kCPU, 1);

// decodeImages(control, sources, geometry, limits, destination, rows): reports
Napi::Value decode_images(const Napi::CallbackInfo& info) {
  if (!info[1].IsArray()) fail("ERR_OPTION", "sources: expected an array");
  const auto given = info[1].As<Napi::Array>();
  const ImageGeometry geometry = geometry_argument(info[2]);
  const Napi::Object options = object_argument(info[3], "limits");
  constexpr int64_t largest = int64_t{1} << 40;
  const SourceLimits limits{{integer_argument(options.Get("pixels"), "limits.pixels", 0, largest),
                             boolean_argument(options.Get("acceptTruncated"), "limits.acceptTruncated")},
                            integer_argument(options.Get("fileBytes"), "limits.fileBytes", 0, largest)};
  const Bytes destination = bytes_argument(info[4], "destination");
  const std::vector<uint8_t*> planes =
      planes_of(destination, geometry, integers_argument(info[5], "rows"), given.Length());
  std::vector<EncodedSource> sources;
  Napi::Array pinned = Napi::Array::New(info.Env());
  pinned.Set(given.Length(), info[4]);
  for (uint32_t i = 0; i < given.Length(); ++i) {
    const Napi::Object source = object_argument(given.Get(i), "sources");
    const Napi::Value path = source.Get("path"), encoded = source.Get("encoded");
    const Variation variation = variation_argument(source.Get("variation"), largest_side, largest_side);
    if (path.IsString()) {
      sources.push_back({path.As<Napi::String>().Utf8Value(), {}, variation});
    } else {
      const Bytes bytes = array_bytes(path.IsUndefined() ? encoded : path, "sources");
      if (path.IsUndefined()) {
        sources.push_back({{}, {bytes.data, static_cast<size_t>(bytes.length)}, variation});
        pinned.Set(i, encoded);
      } else {
        sources.push_back(
            {std::string(reinterpret_cast<const char*>(bytes.data), static_cast<size_t>(bytes.length)), {}, variation});
      }
    }
  }
  return submit(
      info, decoding_executor,
      [=, owner = destination.owner](JobContext& job) {
        return decode_all(sources, geometry, limits, planes, job.poll());
      },
      reports_to_js, {}, pinned);
}

}  // namespace

void define_preprocessing(Napi::Env env, Napi::Object exports) {
  exports.Set("decodeImages", function<decode_images>(env, "decodeImages"));
  exports.Set("preprocessImages", function<preprocess_images>(env, "preprocessImages"));
  exports.Set("normalizeImages", function<normalize_images>(env, "normalizeImages"));
}

}  // namespace ood
