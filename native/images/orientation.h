// The EXIF orientation of JPEG and PNG files, wherever it stands.
#pragma once

#include <cstdint>
#include <span>

namespace ood {

// 1 to 8; 1 is as stored, also where nothing valid is said.
int jpeg_orientation(std::span<const uint8_t> file);
int png_orientation(std::span<const uint8_t> file);

}  // namespace ood
