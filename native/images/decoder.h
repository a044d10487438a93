// Decodes JPEG, PNG and GIF files with Wuffs, whose code cannot read or write outside its buffers: it was proved when it
// was generated. Other formats, and what Wuffs does not know of these, are declined.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "data/pixel_rows.h"
#include "images/scratch.h"

namespace ood {

struct ImageHeader {
  int64_t width;  // as stored
  int64_t height;
  int orientation;  // of EXIF, 1 to 8
  bool inks;        // a JPEG of four components
  bool in_rows;     // a JPEG whose rows could be decoded one after the other
};

enum class DecodeStatus {
  done,
  declined,   // another format, a feature that is not known, or larger than the limit
  damaged,    // `words` say how
  truncated,  // the end is missing
};

struct DecodedFile {
  DecodeStatus status;
  std::optional<ImageHeader> header;  // as soon as it has been read
  StoredPixels pixels;                // where done; valid until the decoder is used again
  const char* words = "";
};

struct DecodeLimits {
  int64_t pixels;         // larger images are declined
  bool accept_truncated;  // what is missing of a JPEG is grey, of others black
};

// The decoders of one thread, with memory that they use again and again.
class ImageDecoder {
 public:
  ImageDecoder();
  ~ImageDecoder();

  // `reserve` is called with the bytes of memory that decoding takes, before it begins.
  DecodedFile decode(std::span<const uint8_t> file, const DecodeLimits& limits,
                     const std::function<void(int64_t)>& reserve);

  // For the bytes of a file, for whoever reads it.
  Scratch& file_memory() { return file_; }

  // Gives the memory back.
  void release();

 private:
  struct Decoders;
  std::unique_ptr<Decoders> decoders_;
  Scratch file_;
  Scratch pixels_;
  Scratch work_;
};

}  // namespace ood
