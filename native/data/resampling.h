// Resizing of uint8 pixels, of which only a part is wanted.
#pragma once

#include <cstdint>

#include "core/poll.h"
#include "data/pixel_rows.h"

namespace ood {

// A triangle; or Catmull and Rom's cubic (a = −0.5), without antialiasing Keys's with a = −0.75, as libtorch has it.
enum class ResizeKernel { bilinear, bicubic };

// One axis of a resize: all pixels of the source become `scaled`, of which `count` from `start` on are wanted.
struct ResizeAxis {
  int64_t scaled;
  int64_t start;
  int64_t count;
};

// To the last bit what Pillow's resize gives: the kernel is as wide as the reduction, first across, then down, each
// pass with 22-bit weights and rounded to bytes. `out`: [y.count, x.count, channels].
void resample(PixelRows& rows, const ResizeAxis& x, const ResizeAxis& y, ResizeKernel kernel, const Poll& poll,
              uint8_t* out);

// Without antialiasing, as torch.nn.functional.interpolate of float pixels, rounded: the two or four nearest pixels of
// each axis, however large the reduction.
void interpolate(PixelRows& rows, const ResizeAxis& x, const ResizeAxis& y, ResizeKernel kernel, const Poll& poll,
                 uint8_t* out);

}  // namespace ood
