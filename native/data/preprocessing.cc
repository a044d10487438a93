// From decoded pixels to the planes of bytes that a model reads.
#include "data/preprocessing.h"

#include <algorithm>
#include <utility>

#include "core/errors.h"
#include "core/parallel.h"

namespace ood {

namespace {

// Half of a whole number, rounded as Python's `round` does: torchvision's centre crop begins there.
int64_t half_to_even(int64_t length) {
  const int64_t half = length / 2;
  return length % 2 == 0 || half % 2 == 0 ? half : half + 1;
}

// The axis whose original length is scaled, with the middle of it wanted.
ResizeAxis axis_of(int64_t length, int64_t shorter, const ImageGeometry& geometry) {
  // torchvision cuts off what is not a whole pixel of the longer side.
  const int64_t scaled = geometry.resize == ResizeMode::squash ? geometry.size : geometry.resize_to * length / shorter;
  return {scaled, half_to_even(scaled - geometry.size), geometry.size};
}

}  // namespace

void preprocess(const DecodedImage& image, const ImageGeometry& geometry, const Poll& poll, uint8_t* planes) {
  const StoredPixels& pixels = image.pixels;
  const int64_t size = geometry.size, area = size * size, channels = geometry.channels;
  PixelRows rows(pixels, channels);
  int64_t width = image.original_width, height = image.original_height;
  if (pixels.turned()) std::swap(width, height);
  const bool fits = width == size && height == size;
  if (geometry.resize == ResizeMode::none && !fits) {
    fail("ERR_SHAPE", "images: expected ", size, "×", size, " pixels (resize is \"none\"), found ", width, "×", height);
  }
  const int64_t shorter = std::min(width, height);
  const ResizeAxis whole{size, 0, size};
  const bool resizes = geometry.resize != ResizeMode::none;
  const ResizeAxis x = resizes ? axis_of(width, shorter, geometry) : whole;
  const ResizeAxis y = resizes ? axis_of(height, shorter, geometry) : whole;
  if (channels == 1) {
    (geometry.antialias ? resample : interpolate)(rows, x, y, geometry.kernel, poll, planes);
    return;
  }
  std::vector<uint8_t> interleaved(static_cast<size_t>(area * channels));
  (geometry.antialias ? resample : interpolate)(rows, x, y, geometry.kernel, poll, interleaved.data());
  const uint8_t* from = interleaved.data();
  for (int64_t i = 0; i < area; ++i, from += 3) {
    planes[i] = from[0];
    planes[area + i] = from[1];
    planes[2 * area + i] = from[2];
  }
}

Task<> preprocess_all(std::vector<DecodedImage> images, ImageGeometry geometry, std::vector<uint8_t*> planes,
                      Poll poll) {
  // Some 10 ms of one thread; and what is worth waking others for.
  constexpr int64_t pixels_per_step = 4 << 20, pixels_in_parallel = 1 << 18;
  for (size_t start = 0, end = 0; start < images.size(); start = end) {
    if (start > 0) co_await next_turn;
    int64_t pixels = 0;
    for (; end < images.size() && pixels < pixels_per_step; ++end) {
      pixels += images[end].pixels.width * images[end].pixels.height + geometry.size * geometry.size;
    }
    const auto make = [&](int64_t i) {
      const size_t at = start + static_cast<size_t>(i);
      preprocess(images[at], geometry, poll, planes[at]);
    };
    const auto count = static_cast<int64_t>(end - start);
    if (pixels >= pixels_in_parallel) {
      in_parallel(count, make);
    } else {
      for (int64_t i = 0; i < count; ++i) make(i);
    }
  }
}

}  // namespace ood
