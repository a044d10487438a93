// Changes the colours of an image for training.
#include "data/colour_jitter.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace ood {

namespace {

// Rounded as torchvision's: the fraction is cut off, so that the last bit of a factor counts.
class Blend {
 public:
  explicit Blend(double factor) : own_(static_cast<float>(factor)), rest_(static_cast<float>(1.0 - factor)) {}
  uint8_t operator()(float value, float other) const {
    return static_cast<uint8_t>(std::clamp(own_ * value + rest_ * other, 0.0F, 255.0F));
  }

 private:
  float own_, rest_;
};

// torchvision cuts the fraction off.
uint8_t grey(float red, float green, float blue) {
  return static_cast<uint8_t>(0.2989F * red + 0.587F * green + 0.114F * blue);
}

using Rgb = std::array<float, 3>;  // 0 … 1

float turned_hue(const Rgb& c, float most, float range, float turns) {
  const float divisor = range == 0 ? 1.0F : range;
  const auto distance = [&](int channel) { return (most - c[static_cast<size_t>(channel)]) / divisor; };
  float sixths;
  if (most == c[0]) {
    sixths = distance(2) - distance(1);
  } else if (most == c[1]) {
    sixths = 2.0F + distance(0) - distance(2);
  } else {
    sixths = 4.0F + distance(1) - distance(0);
  }
  const float hue = std::fmod(sixths / 6.0F + 1.0F, 1.0F) + turns;
  return hue - std::floor(hue);
}

Rgb with_hue(float hue, float saturation, float value) {
  const auto part = [](float x) { return std::clamp(x, 0.0F, 1.0F); };
  const float whole = std::floor(hue * 6.0F), f = hue * 6.0F - whole;
  const float p = part(value * (1.0F - saturation)), q = part(value * (1.0F - saturation * f)),
              t = part(value * (1.0F - saturation * (1.0F - f)));
  switch (static_cast<int>(whole) % 6) {
    case 0:
      return {value, t, p};
    case 1:
      return {q, value, p};
    case 2:
      return {p, value, t};
    case 3:
      return {p, q, value};
    case 4:
      return {t, p, value};
    default:
      return {value, p, q};
  }
}

void turn_hues(float turns, int64_t area, uint8_t* planes) {
  for (int64_t i = 0; i < area; ++i) {
    Rgb c;
    for (int k = 0; k < 3; ++k) c[static_cast<size_t>(k)] = static_cast<float>(planes[k * area + i]) / 255.0F;
    const auto [least, most] = std::minmax({c[0], c[1], c[2]});
    const float range = most - least;
    const Rgb turned = with_hue(turned_hue(c, most, range, turns), range / (range == 0 ? 1.0F : most), most);
    // 255.999 values: torchvision's conversion of floats to bytes.
    for (int k = 0; k < 3; ++k)
      planes[k * area + i] = static_cast<uint8_t>(turned[static_cast<size_t>(k)] * (255.0F + 1.0F - 1e-3F));
  }
}

}  // namespace

void change_colours(const ColourStep& step, int64_t channels, int64_t area, uint8_t* planes) {
  const Blend blended(step.factor);
  const auto grey_at = [=](int64_t i) -> uint8_t {
    return channels == 1 ? planes[i] : grey(planes[i], planes[area + i], planes[2 * area + i]);
  };
  switch (step.change) {
    case ColourChange::brightness:
      for (int64_t i = 0; i < channels * area; ++i) planes[i] = blended(planes[i], 0.0F);
      break;
    case ColourChange::contrast: {
      int64_t sum = 0;
      for (int64_t i = 0; i < area; ++i) sum += grey_at(i);
      const auto mean = static_cast<float>(static_cast<double>(sum) / static_cast<double>(area));
      for (int64_t i = 0; i < channels * area; ++i) planes[i] = blended(planes[i], mean);
      break;
    }
    case ColourChange::saturation:
      if (channels == 1) break;
      for (int64_t i = 0; i < area; ++i) {
        const float own = grey_at(i);
        for (int k = 0; k < 3; ++k) planes[k * area + i] = blended(planes[k * area + i], own);
      }
      break;
    case ColourChange::hue:
      if (channels == 3) turn_hues(static_cast<float>(step.factor), area, planes);
      break;
  }
}

}  // namespace ood
