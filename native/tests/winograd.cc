// Winograd's filtering against convolutions written out, on every processor with AVX2.
#include "kernels/winograd.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/random.h"

namespace ood::winograd {

namespace {

using tests::Aligned;
using tests::random_numbers;

struct Case {
  int64_t images;
  Shape shape;
};

// Odd and even sides, channels that are one, some and many panels, tiles that are no multiple of a block.
const Case cases[] = {
    {1, {1, 1, 8, 8}}, {2, {5, 7, 8, 16}}, {1, {8, 8, 72, 24}}, {3, {6, 4, 24, 72}}, {1, {32, 31, 8, 8}}};

bool is_left_out() {
  if (available()) return false;
  MESSAGE("left out: this processor has no AVX2");
  return true;
}

size_t size_of(int64_t count) { return static_cast<size_t>(count); }

// Pixel (y, x) of an image [height, width, channels], 0 outside.
float pixel(const std::vector<float>& images, const Shape& shape, int64_t channels, int64_t image, int64_t y, int64_t x,
            int64_t channel) {
  if (y < 0 || x < 0 || y >= shape.height || x >= shape.width) return 0;
  return images[size_of(((image * shape.height + y) * shape.width + x) * channels + channel)];
}

}  // namespace

TEST_CASE("Winograd: outputs with bias, residual and slope") {
  if (is_left_out()) return;
  for (const auto& [images, shape] : cases) {
    const auto input = random_numbers<float>(size_of(images * shape.height * shape.width * shape.in), 1);
    const auto weight = random_numbers<float>(size_of(shape.out * shape.in * 9), 2);  // [out, in, 3, 3]
    const auto bias = random_numbers<float>(size_of(shape.out), 3);
    const auto residual = random_numbers<float>(size_of(images * shape.height * shape.width * shape.out), 4);
    const int64_t strides[4] = {shape.in * 9, 9, 3, 1};
    Aligned<float> packed(weight_size(shape.in, shape.out)), workspace(workspace_size(shape.out));
    for (int64_t piece = 0; piece < weight_pieces(shape.in, shape.out); ++piece)
      transform_weight(weight.data(), strides, shape.in, shape.out, piece, packed.data());
    std::vector<float> output(residual.size(), 1e30f);
    const int64_t tiles = images * shape.tiles();
    for (int64_t first = 0; first < tiles; first += block_tiles) {
      convolve(shape, input.data(), packed.data(), {bias.data(), residual.data(), 0.1f}, first,
               std::min(block_tiles, tiles - first), workspace.data(), output.data());
    }
    double worst = 0;
    for (int64_t n = 0; n < images; ++n) {
      for (int64_t y = 0; y < shape.height; ++y) {
        for (int64_t x = 0; x < shape.width; ++x) {
          for (int64_t k = 0; k < shape.out; ++k) {
            double sum = static_cast<double>(bias[size_of(k)]) + pixel(residual, shape, shape.out, n, y, x, k);
            for (int64_t c = 0; c < shape.in; ++c) {
              for (int64_t at = 0; at < 9; ++at) {
                sum += static_cast<double>(pixel(input, shape, shape.in, n, y + at / 3 - 1, x + at % 3 - 1, c)) *
                       static_cast<double>(weight[size_of((k * shape.in + c) * 9 + at)]);
              }
            }
            const double expected = sum < 0 ? 0.1 * sum : sum;
            worst =
                std::max(worst, std::abs(static_cast<double>(pixel(output, shape, shape.out, n, y, x, k)) - expected));
          }
        }
      }
    }
    CAPTURE(shape.in);
    CAPTURE(shape.height);
    // Up to 648 terms of at most ¼; the transforms enlarge a rounding of 6e-8 some times.
    CHECK(worst <= 2e-5);
  }
}

TEST_CASE("Winograd: the gradient of the weight") {
  if (is_left_out()) return;
  for (const auto& [images, shape] : cases) {
    const auto input = random_numbers<float>(size_of(images * shape.height * shape.width * shape.in), 5);
    const auto gradient = random_numbers<float>(size_of(images * shape.height * shape.width * shape.out), 6);
    Aligned<float> outputs(outputs_size(shape.out)), inputs(inputs_size(shape.in));
    Aligned<float> products(points * shape.out * shape.in);
    std::fill_n(products.data(), points * shape.out * shape.in, 0.0f);
    const int64_t tiles = images * shape.tiles();
    for (int64_t first = 0; first < tiles; first += gradient_tiles) {
      const int64_t count = std::min(gradient_tiles, tiles - first);
      transform_output_gradients(shape, gradient.data(), first, count, 0, count, outputs.data());
      transform_gradient_inputs(shape, input.data(), first, count, 0, count, inputs.data());
      for (int64_t point = 0; point < points; ++point)
        add_weight_products(shape, outputs.data(), inputs.data(), count, point, 0, shape.out, products.data());
    }
    double worst = 0;
    std::vector<float> found(size_of(9 * shape.in));
    for (int64_t k = 0; k < shape.out; ++k) {
      weight_gradient(shape, products.data(), k, found.data());
      for (int64_t at = 0; at < 9; ++at) {
        for (int64_t c = 0; c < shape.in; ++c) {
          double expected = 0;
          for (int64_t n = 0; n < images; ++n) {
            for (int64_t y = 0; y < shape.height; ++y) {
              for (int64_t x = 0; x < shape.width; ++x) {
                expected += static_cast<double>(pixel(input, shape, shape.in, n, y + at / 3 - 1, x + at % 3 - 1, c)) *
                            static_cast<double>(pixel(gradient, shape, shape.out, n, y, x, k));
              }
            }
          }
          worst = std::max(worst, std::abs(static_cast<double>(found[size_of(at * shape.in + c)]) - expected));
        }
      }
    }
    CAPTURE(shape.in);
    CAPTURE(shape.height);
    CHECK(worst <= 5e-5);  // up to 992 terms of at most ¼
  }
}

}  // namespace ood::winograd
