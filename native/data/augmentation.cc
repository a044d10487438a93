// From stored images to a network's input.
#include "data/augmentation.h"

#include <ATen/ATen.h>

namespace ood {

AugmentationDraws draw_augmentation(const Augmentation& augmentation, int64_t images, at::Generator& generator) {
  const int64_t offsets = 2 * augmentation.crop_padding + 1;
  const auto options = at::TensorOptions(at::kLong);
  AugmentationDraws draws;
  draws.offset_y = at::randint(0, offsets, {images}, generator, options);
  draws.offset_x = at::randint(0, offsets, {images}, generator, options);
  draws.flip =
      augmentation.horizontal_flip ? at::randint(0, 2, {images}, generator, options) : at::zeros({images}, options);
  return draws;
}

at::Tensor augment(const at::Tensor& images, const Augmentation& augmentation, const AugmentationDraws& draws) {
  const int64_t batch = images.size(0), channels = images.size(1), height = images.size(2), width = images.size(3);
  const int64_t padding = augmentation.crop_padding;
  const at::Tensor padded = padding > 0 ? at::constant_pad_nd(images, {padding, padding, padding, padding}) : images;
  const auto options = at::TensorOptions(at::kLong).device(images.device());
  const auto column = [&](const at::Tensor& draw) { return draw.to(images.device()).view({batch, 1}); };

  const at::Tensor rows = column(draws.offset_y) + at::arange(height, options);  // [B, H]
  const at::Tensor along = at::arange(width, options);
  const at::Tensor columns =
      column(draws.offset_x) + at::where(column(draws.flip) == 1, width - 1 - along, along);  // [B, W]
  const at::Tensor index = (rows.unsqueeze(2) * padded.size(3) + columns.unsqueeze(1)).view({batch, 1, height * width});
  return padded.flatten(2)
      .gather(2, index.expand({batch, channels, height * width}))
      .view({batch, channels, height, width});
}

at::Tensor normalise(const at::Tensor& images, const Normalization& normalization, at::ScalarType dtype,
                     at::MemoryFormat format) {
  // Computed in float32 (float64 for a float64 network) before any narrowing, so that bfloat16 rounds once.
  const at::ScalarType working = dtype == at::kDouble ? at::kDouble : at::kFloat;
  const auto constants = [&](const std::vector<double>& values) {
    return at::tensor(values, at::kDouble).to(working).to(images.device()).view({1, -1, 1, 1});
  };
  at::Tensor x = images.to(images.options().dtype(working), /*non_blocking=*/false, /*copy=*/true, format);
  if (images.scalar_type() == at::kByte) x.div_(255);
  return x.sub_(constants(normalization.mean)).div_(constants(normalization.std)).to(dtype);
}

}  // namespace ood
