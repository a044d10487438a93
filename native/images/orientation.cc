// The EXIF orientation of JPEG and PNG files. Lengths and offsets are the file's own: none is trusted.
#include "images/orientation.h"

#include <cstring>

namespace ood {

namespace {

using Bytes = std::span<const uint8_t>;

uint32_t big16(Bytes bytes, size_t at) { return static_cast<uint32_t>(bytes[at] << 8 | bytes[at + 1]); }
uint32_t big32(Bytes bytes, size_t at) { return big16(bytes, at) << 16 | big16(bytes, at + 2); }

bool has(Bytes bytes, size_t at, const char* text, size_t length) {
  return at + length <= bytes.size() && std::memcmp(bytes.data() + at, text, length) == 0;
}

// Of a TIFF header and its first directory; "Exif\0\0" may stand before them, in a PNG too.
int exif_orientation(Bytes block) {
  if (has(block, 0, "Exif\0\0", 6)) block = block.subspan(6);
  const bool little = has(block, 0, "II", 2);
  if ((!little && !has(block, 0, "MM", 2)) || block.size() < 8) return 1;
  const auto u16 = [&](size_t at) {
    return little ? static_cast<uint32_t>(block[at] | block[at + 1] << 8) : big16(block, at);
  };
  const auto u32 = [&](size_t at) { return little ? u16(at) | u16(at + 2) << 16 : big32(block, at); };
  constexpr uint32_t orientation_tag = 0x0112, short_type = 3, long_type = 4;
  const size_t directory = u32(4);
  if (directory + 2 > block.size()) return 1;
  const size_t entries = u16(directory);
  for (size_t i = 0, at = directory + 2; i < entries && at + 12 <= block.size(); ++i, at += 12) {
    if (u16(at) != orientation_tag) continue;
    const uint32_t type = u16(at + 2);
    const uint32_t value = type == short_type ? u16(at + 8) : type == long_type ? u32(at + 8) : 1;
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace

int jpeg_orientation(Bytes file) {
  constexpr uint8_t app1 = 0xe1, start_of_scan = 0xda, end_of_image = 0xd9, temporary = 0x01;
  for (size_t at = 2; at + 4 <= file.size();) {
    const uint8_t marker = file[at + 1];
    if (file[at] != 0xff || marker == 0xff || marker == 0) {  // bytes between segments, which decoders pass over
      ++at;
      continue;
    }
    if (marker == start_of_scan || marker == end_of_image) return 1;
    if (marker == temporary || (marker >= 0xd0 && marker <= 0xd8)) {
      at += 2;
      continue;
    }
    const size_t end = at + 2 + big16(file, at + 2);
    if (end > file.size() || end < at + 4) return 1;
    if (marker == app1 && has(file, at + 4, "Exif\0\0", 6)) return exif_orientation(file.subspan(at + 4, end - at - 4));
    at = end;
  }
  return 1;
}

int png_orientation(Bytes file) {
  for (size_t at = 8; at + 12 <= file.size();) {
    const size_t length = big32(file, at);
    if (length > file.size() - at - 12) return 1;
    if (has(file, at + 4, "eXIf", 4)) return exif_orientation(file.subspan(at + 8, length));
    at += 12 + length;
  }
  return 1;
}

}  // namespace ood
