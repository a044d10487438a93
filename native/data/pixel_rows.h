// Decoded pixels as rows of the upright image, in grey or RGB: EXIF orientation, alpha, inks and colour are dealt with
// while a row is read, so that no second copy of the image is made.
#pragma once

#include <cstdint>
#include <vector>

namespace ood {

enum class PixelLayout {
  interleaved,  // 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA
  planes,       // 1 grey or 3 RGB, plane after plane
  inks,         // 4: cyan, magenta, yellow, black, interleaved
  bgrx,         // 4: blue, green, red and a byte that means nothing, interleaved
};

// Pixels as a decoder left them; the memory is the caller's.
struct StoredPixels {
  const uint8_t* bytes;
  int64_t width;
  int64_t height;
  int64_t channels;
  PixelLayout layout;
  int orientation;  // of EXIF, 1 to 8

  bool turned() const { return orientation > 4; }
  int64_t upright_width() const { return turned() ? height : width; }
  int64_t upright_height() const { return turned() ? width : height; }
};

// A part of the upright image.
struct PixelWindow {
  int64_t left, top, width, height;
};

class PixelRows {
 public:
  // Rows that are read together: of a turned image they are columns, and a cache line holds pixels of some of them.
  static constexpr int64_t at_once = 16;

  // `channels`: 1 or 3. Alpha is flattened onto black; colour becomes grey by ITU-R 601-2 luma in 16-bit fixed point,
  // inks become colour by (255 − C)(255 − K) / 255, both as Pillow's convert() has them.
  PixelRows(const StoredPixels& image, int64_t channels);
  // The rows of the window alone, which lies within the image.
  PixelRows(const StoredPixels& image, int64_t channels, const PixelWindow& window);

  int64_t width() const { return window_.width; }
  int64_t height() const { return window_.height; }
  int64_t channels() const { return channels_; }
  // Bytes from the beginning of a row that is read to that of the next.
  int64_t stride() const { return (is_stored_so() ? image_.width : window_.width) * channels_; }

  // Rows first … first + count − 1, each of width · channels bytes; valid until the next call.
  const uint8_t* read(int64_t first, int64_t count);

 private:
  bool is_stored_so() const {
    return image_.orientation == 1 && image_.layout == PixelLayout::interleaved && image_.channels == channels_;
  }

  StoredPixels image_;
  PixelWindow window_;
  int64_t channels_;
  std::vector<uint8_t> rows_;
};

}  // namespace ood
