// From decoded pixels to the planes of bytes that a model reads, as torchvision's evaluation transforms make them of
// Pillow's images: upright, grey or RGB, resized, the middle cut out.
#pragma once

#include <cstdint>
#include <vector>

#include "core/poll.h"
#include "core/task.h"
#include "data/colour_jitter.h"
#include "data/pixel_rows.h"
#include "data/resampling.h"

namespace ood {

enum class ResizeMode { center_crop, squash, none };

// lib/images/geometry.ts
struct ImageGeometry {
  int64_t channels;  // 1 or 3
  int64_t size;
  ResizeMode resize;
  int64_t resize_to;  // shorter side before the centre crop, at least `size`
  ResizeKernel kernel;
  bool antialias;
};

// How an image is varied for training. The draws are the caller's.
struct Variation {
  PixelWindow window{};  // of the upright original, which is squashed to the size; of no width: as the geometry says
  int64_t shift_x = 0, shift_y = 0;  // pixels that the image moves left and up, with black behind it
  bool flip = false;                 // left to right
  std::vector<ColourStep> colours;   // in this order
};

struct DecodedImage {
  StoredPixels pixels;
  // Of the image that `pixels` were reduced from, where they were: its proportions decide. As they are stored.
  int64_t original_width;
  int64_t original_height;
  Variation variation;
};

// [channels, size, size] bytes. Throws ERR_SHAPE where the image has another size and the mode is `none`.
void preprocess(const DecodedImage& image, const ImageGeometry& geometry, const Poll& poll, uint8_t* planes);

// Each image to its place, several at a time. The memory of images and planes is the caller's.
Task<> preprocess_all(std::vector<DecodedImage> images, ImageGeometry geometry, std::vector<uint8_t*> planes,
                      Poll poll);

}  // namespace ood
