// From stored images to a network's input: random crop and flip, then normalisation, on the images' own device.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/MemoryFormat.h>

#include <cstdint>
#include <vector>

namespace ood {

// Per-channel constants: (x / 255 − mean) / std for uint8 images, (x − mean) / std for floating ones in 0 … 1.
struct Normalization {
  std::vector<double> mean;
  std::vector<double> std;
};

struct Augmentation {
  int64_t crop_padding = 0;  // zero pixels added on each side before a random crop to the old size; 0: no crop
  bool horizontal_flip = false;

  bool none() const { return crop_padding == 0 && !horizontal_flip; }
};

// The draws for a number of images: each [N] int64, on the host.
struct AugmentationDraws {
  at::Tensor offset_y;  // 0 … 2·padding
  at::Tensor offset_x;
  at::Tensor flip;  // 0 or 1
};

AugmentationDraws draw_augmentation(const Augmentation& augmentation, int64_t images, at::Generator& generator);

// Pads with zeros, crops at the given offsets and flips: images [B, C, H, W] of any dtype, draws of B rows.
at::Tensor augment(const at::Tensor& images, const Augmentation& augmentation, const AugmentationDraws& draws);

// Images [B, C, H, W] of `dtype`, in our networks' own layout unless another is asked for.
at::Tensor normalise(const at::Tensor& images, const Normalization& normalization, at::ScalarType dtype,
                     at::MemoryFormat format = at::MemoryFormat::ChannelsLast);

}  // namespace ood
