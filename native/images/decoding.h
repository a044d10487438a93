// From encoded images, in files or in memory, to the planes of bytes that a model reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/poll.h"
#include "data/preprocessing.h"
#include "images/decoder.h"

namespace ood {

// A file by its path, or, without one, its bytes, which are the caller's.
struct EncodedSource {
  std::string path;
  std::span<const uint8_t> bytes;
  Variation variation;
};

// What became of an image whose planes are not there.
struct DecodeReport {
  int64_t index;
  DecodeStatus status;
  std::optional<ImageHeader> header;
  const char* words;
};

struct SourceLimits {
  DecodeLimits decode;
  int64_t file_bytes;  // of a path: larger files are declined
};

// Decodes and preprocesses each source to its planes, several at a time; those that are not done are reported. A file
// that cannot be read is declined, and so is one of another size with ResizeMode::none,
// or one that the window of its variation does not lie in.
std::vector<DecodeReport> decode_all(const std::vector<EncodedSource>& sources, const ImageGeometry& geometry,
                                     const SourceLimits& limits, const std::vector<uint8_t*>& planes, const Poll& poll);

}  // namespace ood
