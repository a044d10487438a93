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

// The part of the stored pixels, upright, that shows the window of the original.
PixelWindow stored_window(const PixelWindow& window, int64_t width, int64_t height, const StoredPixels& pixels) {
  const auto scaled = [](int64_t at, int64_t stored, int64_t original) {
    return stored == original ? at : (2 * at * stored + original) / (2 * original);  // rounded
  };
  const int64_t stored_width = pixels.upright_width(), stored_height = pixels.upright_height();
  const int64_t left = scaled(window.left, stored_width, width), top = scaled(window.top, stored_height, height);
  const int64_t right = scaled(window.left + window.width, stored_width, width);
  const int64_t bottom = scaled(window.top + window.height, stored_height, height);
  return {std::min(left, stored_width - 1), std::min(top, stored_height - 1), std::max<int64_t>(1, right - left),
          std::max<int64_t>(1, bottom - top)};
}

// Moves the image left and up, black behind it, and turns it left to right.
void move_and_flip(const Variation& variation, int64_t size, int64_t channels, uint8_t* planes) {
  if (variation.shift_x == 0 && variation.shift_y == 0 && !variation.flip) return;
  const std::vector<uint8_t> before(planes, planes + channels * size * size);
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t y = 0; y < size; ++y) {
      const int64_t from_y = y + variation.shift_y;
      uint8_t* const row = planes + (c * size + y) * size;
      for (int64_t x = 0; x < size; ++x) {
        const int64_t from_x = (variation.flip ? size - 1 - x : x) + variation.shift_x;
        const bool inside = from_y >= 0 && from_y < size && from_x >= 0 && from_x < size;
        row[x] = inside ? before[static_cast<size_t>((c * size + from_y) * size + from_x)] : 0;
      }
    }
  }
}

}  // namespace

void preprocess(const DecodedImage& image, const ImageGeometry& geometry, const Poll& poll, uint8_t* planes) {
  const StoredPixels& pixels = image.pixels;
  const Variation& variation = image.variation;
  const int64_t size = geometry.size, area = size * size, channels = geometry.channels;
  int64_t width = image.original_width, height = image.original_height;
  if (pixels.turned()) std::swap(width, height);
  const bool fits = width == size && height == size;
  if (geometry.resize == ResizeMode::none && !fits) {
    fail("ERR_SHAPE", "images: expected ", size, "×", size, " pixels (resize is \"none\"), found ", width, "×", height);
  }
  const bool cuts = variation.window.width > 0;
  PixelRows rows = cuts ? PixelRows(pixels, channels, stored_window(variation.window, width, height, pixels))
                        : PixelRows(pixels, channels);
  const int64_t shorter = std::min(width, height);
  const ResizeAxis whole{size, 0, size};
  const bool resizes = geometry.resize != ResizeMode::none && !cuts;
  const ResizeAxis x = resizes ? axis_of(width, shorter, geometry) : whole;
  const ResizeAxis y = resizes ? axis_of(height, shorter, geometry) : whole;
  if (channels == 1) {
    (geometry.antialias ? resample : interpolate)(rows, x, y, geometry.kernel, poll, planes);
  } else {
    std::vector<uint8_t> interleaved(static_cast<size_t>(area * channels));
    (geometry.antialias ? resample : interpolate)(rows, x, y, geometry.kernel, poll, interleaved.data());
    const uint8_t* from = interleaved.data();
    for (int64_t i = 0; i < area; ++i, from += 3) {
      planes[i] = from[0];
      planes[area + i] = from[1];
      planes[2 * area + i] = from[2];
    }
  }
  move_and_flip(variation, size, channels, planes);
  for (const ColourStep& step : variation.colours) change_colours(step, channels, area, planes);
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
