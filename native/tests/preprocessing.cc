// Preprocessing: within a level of libtorch's own resize in float, parts as the whole has them, orientations and colours by definition. That the pixels
// are Pillow's to the last bit, test/images/preprocessing.test.ts tells.
#include "data/preprocessing.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <cstdint>
#include <numeric>
#include <vector>

#include "core/errors.h"

namespace ood {

namespace {

const Poll no_poll = [] {};

// Interleaved noise over a slope.
std::vector<uint8_t> pixels_of(int64_t width, int64_t height, int64_t channels) {
  std::vector<uint8_t> pixels(static_cast<size_t>(width * height * channels));
  uint32_t state = 7;
  for (size_t i = 0; i < pixels.size(); ++i) {
    state = state * 1664525 + 1013904223;
    pixels[i] = static_cast<uint8_t>((state >> 24) / 2 + i % 120);
  }
  return pixels;
}

DecodedImage image_of(const std::vector<uint8_t>& pixels, int64_t width, int64_t height, int64_t channels,
                      PixelLayout layout = PixelLayout::interleaved, int orientation = 1) {
  return {{pixels.data(), width, height, channels, layout, orientation}, width, height};
}

at::Tensor planes_of(const DecodedImage& image, const ImageGeometry& geometry) {
  at::Tensor planes = at::empty({geometry.channels, geometry.size, geometry.size}, at::kByte);
  preprocess(image, geometry, no_poll, planes.mutable_data_ptr<uint8_t>());
  return planes;
}

int64_t largest_difference(const at::Tensor& found, const at::Tensor& wanted) {
  return (found.to(at::kLong) - wanted.to(at::kLong)).abs().max().item<int64_t>();
}

// Resized by libtorch in float64, cut as torchvision cuts, rounded.
at::Tensor by_libtorch(const std::vector<uint8_t>& pixels, int64_t width, int64_t height,
                       const ImageGeometry& geometry) {
  const at::Tensor image = at::tensor(at::ArrayRef<uint8_t>(pixels), at::kByte)
                               .view({1, height, width, 3})
                               .permute({0, 3, 1, 2})
                               .to(at::kDouble);
  const bool squash = geometry.resize == ResizeMode::squash;
  const int64_t shorter = std::min(width, height);
  const int64_t rows = squash ? geometry.size : geometry.resize_to * height / shorter;
  const int64_t columns = squash ? geometry.size : geometry.resize_to * width / shorter;
  const auto resize = [&] {
    if (geometry.kernel == ResizeKernel::bilinear) {
      return geometry.antialias ? at::_upsample_bilinear2d_aa(image, {rows, columns}, false)
                                : at::upsample_bilinear2d(image, {rows, columns}, false);
    }
    return geometry.antialias ? at::_upsample_bicubic2d_aa(image, {rows, columns}, false)
                              : at::upsample_bicubic2d(image, {rows, columns}, false);
  };
  const auto half = [](int64_t length) { return length / 2 + (length % 4 == 3 ? 1 : 0); };
  return resize()
      .round()
      .clamp(0, 255)
      .to(at::kByte)[0]
      .slice(1, half(rows - geometry.size), half(rows - geometry.size) + geometry.size)
      .slice(2, half(columns - geometry.size), half(columns - geometry.size) + geometry.size);
}

}  // namespace

TEST_CASE("preprocessing: within two levels of libtorch's resize in float64, and cut where torchvision cuts") {
  for (const auto& [width, height] : {std::pair{97, 64}, {64, 97}, {33, 33}, {20, 12}, {200, 31}}) {
    const std::vector<uint8_t> pixels = pixels_of(width, height, 3);
    for (const ResizeMode mode : {ResizeMode::center_crop, ResizeMode::squash}) {
      for (const ResizeKernel kernel : {ResizeKernel::bilinear, ResizeKernel::bicubic}) {
        for (const bool antialias : {true, false}) {
          const ImageGeometry geometry{3, 24, mode, 29, kernel, antialias};
          const at::Tensor found = planes_of(image_of(pixels, width, height, 3), geometry);
          // Rounded after each pass, where float64 is rounded once; without antialiasing a half may fall either way.
          CHECK(largest_difference(found, by_libtorch(pixels, width, height, geometry)) <= (antialias ? 2 : 1));
        }
      }
    }
  }
}

TEST_CASE("preprocessing: an image of the size stays as it is; another is refused where there is no resize") {
  const std::vector<uint8_t> pixels = pixels_of(16, 16, 3);
  const at::Tensor wanted = at::tensor(at::ArrayRef<uint8_t>(pixels), at::kByte).view({16, 16, 3}).permute({2, 0, 1});
  for (const ResizeMode mode : {ResizeMode::center_crop, ResizeMode::squash, ResizeMode::none}) {
    const ImageGeometry geometry{3, 16, mode, 16, ResizeKernel::bicubic, true};
    CHECK(planes_of(image_of(pixels, 16, 16, 3), geometry).equal(wanted));
  }
  const ImageGeometry smaller{3, 8, ResizeMode::none, 8, ResizeKernel::bilinear, true};
  CHECK_THROWS_AS(planes_of(image_of(pixels, 16, 16, 3), smaller), Error);
}

TEST_CASE("preprocessing: EXIF's eight orientations, also of parts") {
  const int64_t width = 40, height = 27;
  const std::vector<uint8_t> pixels = pixels_of(width, height, 3);
  const at::Tensor stored = at::tensor(at::ArrayRef<uint8_t>(pixels), at::kByte).view({height, width, 3});
  const at::Tensor upright[] = {
      stored,
      stored.flip(1),
      stored.flip({0, 1}),
      stored.flip(0),
      stored.transpose(0, 1),
      stored.transpose(0, 1).flip(1),
      stored.transpose(0, 1).flip({0, 1}),
      stored.transpose(0, 1).flip(0),
  };
  const ImageGeometry geometry{3, 19, ResizeMode::center_crop, 22, ResizeKernel::bilinear, true};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const at::Tensor turned = upright[orientation - 1].contiguous();
    const std::vector<uint8_t> shown(turned.const_data_ptr<uint8_t>(),
                                     turned.const_data_ptr<uint8_t>() + turned.numel());
    const DecodedImage image = image_of(pixels, width, height, 3, PixelLayout::interleaved, orientation);
    CHECK(planes_of(image, geometry).equal(planes_of(image_of(shown, turned.size(1), turned.size(0), 3), geometry)));
  }
}

TEST_CASE("preprocessing: alpha onto black, inks, planes, grey and its repetition") {
  const ImageGeometry colour{3, 1, ResizeMode::none, 1, ResizeKernel::bilinear, true};
  const ImageGeometry grey{1, 1, ResizeMode::none, 1, ResizeKernel::bilinear, true};
  const auto values = [](const at::Tensor& planes) {
    return std::vector<int>(planes.const_data_ptr<uint8_t>(), planes.const_data_ptr<uint8_t>() + planes.numel());
  };
  CHECK(values(planes_of(image_of({200}, 1, 1, 1), colour)) == std::vector<int>{200, 200, 200});
  CHECK(values(planes_of(image_of({200, 128}, 1, 1, 2), colour)) == std::vector<int>{100, 100, 100});
  CHECK(values(planes_of(image_of({255, 100, 3, 51}, 1, 1, 4), colour)) == std::vector<int>{51, 20, 1});
  CHECK(values(planes_of(image_of({255, 100, 3}, 1, 1, 3), grey)) == std::vector<int>{135});
  CHECK(values(planes_of(image_of({255, 100, 3}, 1, 1, 3, PixelLayout::planes), colour)) ==
        std::vector<int>{255, 100, 3});
  CHECK(values(planes_of(image_of({0, 255, 128, 55}, 1, 1, 4, PixelLayout::inks), colour)) ==
        std::vector<int>{200, 0, 100});
}

TEST_CASE("preprocessing: many images, each in its place; a poll that throws ends it") {
  const ImageGeometry geometry{3, 32, ResizeMode::center_crop, 40, ResizeKernel::bicubic, true};
  std::vector<std::vector<uint8_t>> sources;
  std::vector<DecodedImage> images;
  for (int64_t i = 0; i < 40; ++i) sources.push_back(pixels_of(300 + 10 * i, 400 - 5 * i, 3));
  for (int64_t i = 0; i < 40; ++i) images.push_back(image_of(sources[i], 300 + 10 * i, 400 - 5 * i, 3));
  const at::Tensor rows = at::empty({40, 3, 32, 32}, at::kByte);
  std::vector<uint8_t*> planes;
  for (int64_t i = 0; i < 40; ++i) planes.push_back(rows.mutable_data_ptr<uint8_t>() + (39 - i) * 3 * 32 * 32);
  run_to_end(preprocess_all(images, geometry, planes, no_poll));
  for (int64_t i = 0; i < 40; ++i) CHECK(rows[39 - i].equal(planes_of(images[i], geometry)));
  const Poll aborted = [] { fail("ERR_ABORTED", "enough"); };
  CHECK_THROWS_AS(run_to_end(preprocess_all(images, geometry, planes, aborted)), Error);
}

}  // namespace ood
