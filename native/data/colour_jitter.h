// Changes the colours of an image for training, as torchvision's ColorJitter does with uint8 tensors.
#pragma once

#include <cstdint>

namespace ood {

enum class ColourChange {
  brightness,  // factor: of each value
  contrast,    // factor: of the distance to the mean grey
  saturation,  // factor: of the distance to the pixel's grey
  hue,         // factor: turns that the hue is moved by, −0.5 … 0.5
};

struct ColourStep {
  ColourChange change;
  double factor;
};

// Changes `planes` [3, area], red, green and blue; of a grey image [1, area] brightness and contrast alone.
void change_colours(const ColourStep& step, int64_t channels, int64_t area, uint8_t* planes);

}  // namespace ood
