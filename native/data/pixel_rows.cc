// Decoded pixels as rows of the upright image, in grey or RGB.
#include "data/pixel_rows.h"

#include <algorithm>

namespace ood {

namespace {

struct Colour {
  int red, green, blue;
};

int flatten(int value, int alpha) { return (2 * value * alpha + 255) / 510; }

int light_through(int ink, int light) {
  const int product = ink * light + 128;
  return std::max(0, light - (((product >> 8) + product) >> 8));
}

// Writes `count` pixels to `to`, `step` bytes from one to the next.
template <class Load>
void put(int64_t count, int64_t channels, uint8_t* to, int64_t step, Load load) {
  if (channels == 1) {
    for (int64_t i = 0; i < count; ++i, to += step) {
      const Colour c = load(i);
      *to = static_cast<uint8_t>((c.red * 19595 + c.green * 38470 + c.blue * 7471 + 0x8000) >> 16);
    }
    return;
  }
  for (int64_t i = 0; i < count; ++i, to += step) {
    const Colour c = load(i);
    to[0] = static_cast<uint8_t>(c.red);
    to[1] = static_cast<uint8_t>(c.green);
    to[2] = static_cast<uint8_t>(c.blue);
  }
}

// `count` pixels of a stored row from `column` on.
void put_stored(const StoredPixels& image, int64_t row, int64_t column, int64_t count, int64_t channels, uint8_t* to,
                int64_t step) {
  const int64_t at = row * image.width + column;
  if (image.layout == PixelLayout::planes) {
    const int64_t plane = image.channels == 3 ? image.width * image.height : 0;
    const uint8_t* const from = image.bytes + at;
    put(count, channels, to, step, [=](int64_t i) -> Colour {
      return {from[i], from[i + plane], from[i + 2 * plane]};
    });
    return;
  }
  const uint8_t* const from = image.bytes + at * image.channels;
  if (image.layout == PixelLayout::inks) {
    put(count, channels, to, step, [=](int64_t i) -> Colour {
      const uint8_t* const ink = from + 4 * i;
      const int light = 255 - ink[3];
      return {light_through(ink[0], light), light_through(ink[1], light), light_through(ink[2], light)};
    });
    return;
  }
  if (image.layout == PixelLayout::bgrx) {
    put(count, channels, to, step, [=](int64_t i) -> Colour {
      return {from[4 * i + 2], from[4 * i + 1], from[4 * i]};
    });
    return;
  }
  switch (image.channels) {
    case 1:
      put(count, channels, to, step, [=](int64_t i) -> Colour { return {from[i], from[i], from[i]}; });
      break;
    case 2:
      put(count, channels, to, step, [=](int64_t i) -> Colour {
        const int value = flatten(from[2 * i], from[2 * i + 1]);
        return {value, value, value};
      });
      break;
    case 3:
      put(count, channels, to, step, [=](int64_t i) -> Colour {
        return {from[3 * i], from[3 * i + 1], from[3 * i + 2]};
      });
      break;
    default:
      put(count, channels, to, step, [=](int64_t i) -> Colour {
        const uint8_t* const pixel = from + 4 * i;
        return {flatten(pixel[0], pixel[3]), flatten(pixel[1], pixel[3]), flatten(pixel[2], pixel[3])};
      });
  }
}

}  // namespace

PixelRows::PixelRows(const StoredPixels& image, int64_t channels)
    : PixelRows(image, channels, {0, 0, image.upright_width(), image.upright_height()}) {}

PixelRows::PixelRows(const StoredPixels& image, int64_t channels, const PixelWindow& window)
    : image_(image), window_(window), channels_(channels) {}

const uint8_t* PixelRows::read(int64_t first, int64_t count) {
  const auto [left, top, width, height] = window_;
  const int64_t start = top + first, row_bytes = width * channels_;
  if (is_stored_so()) return image_.bytes + (start * image_.width + left) * channels_;
  rows_.resize(static_cast<size_t>(count * row_bytes));
  // Whether the columns (rows) that are stored first are shown last.
  const int orientation = image_.orientation;
  const bool columns_back = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool rows_back = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  if (!image_.turned()) {
    const int64_t column = columns_back ? image_.width - left - width : left;
    for (int64_t i = 0; i < count; ++i) {
      uint8_t* const row = rows_.data() + i * row_bytes;
      uint8_t* const to = columns_back ? row + row_bytes - channels_ : row;
      put_stored(image_, rows_back ? image_.height - 1 - start - i : start + i, column, width, channels_, to,
                 columns_back ? -channels_ : channels_);
    }
    return rows_.data();
  }
  // Stored columns are shown as rows: a piece of each stored row goes down a column of what is read.
  for (int64_t i = 0; i < width; ++i) {
    const int64_t stored = rows_back ? image_.height - 1 - left - i : left + i;
    uint8_t* const column = rows_.data() + i * channels_;
    if (columns_back) {
      put_stored(image_, stored, image_.width - start - count, count, channels_, column + (count - 1) * row_bytes,
                 -row_bytes);
    } else {
      put_stored(image_, stored, start, count, channels_, column, row_bytes);
    }
  }
  return rows_.data();
}

}  // namespace ood
