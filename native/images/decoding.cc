// From encoded images to the planes of bytes that a model reads.
#include "images/decoding.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "images/decode_threads.h"
#include "platform/regular_file.h"

namespace ood {

namespace {

// Memory that is counted while an image is decoded.
class Reservation {
 public:
  explicit Reservation(DecodeThreads& threads) : threads_(threads) {}
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  ~Reservation() { threads_.give_back(bytes_); }

  void take(int64_t bytes) {
    threads_.reserve(bytes);
    bytes_ = bytes;
  }

 private:
  DecodeThreads& threads_;
  int64_t bytes_ = 0;
};

bool fits(const ImageHeader& header, const ImageGeometry& geometry, const Variation& variation) {
  const bool turned = header.orientation > 4;
  const int64_t width = turned ? header.height : header.width, height = turned ? header.width : header.height;
  const PixelWindow& window = variation.window;
  if (window.width > 0) {
    return window.left + window.width <= width && window.top + window.height <= height;
  }
  return geometry.resize != ResizeMode::none || (width == geometry.size && height == geometry.size);
}

DecodedFile decode_one(const EncodedSource& source, const ImageGeometry& geometry, const SourceLimits& limits,
                       const Poll& poll, ImageDecoder& decoder, uint8_t* planes) {
  std::span<const uint8_t> bytes = source.bytes;
  if (!source.path.empty()) {
    const bool read = read_regular_file(source.path, limits.file_bytes, [&](int64_t size) {
      uint8_t* const memory = decoder.file_memory().at_least(size);
      bytes = {memory, static_cast<size_t>(size)};
      return memory;
    });
    if (!read) return {DecodeStatus::declined, {}, {}};
  }
  DecodeThreads& threads = DecodeThreads::shared();
  Reservation memory(threads);
  DecodedFile decoded = decoder.decode(bytes, limits.decode, [&](int64_t size) { memory.take(size); });
  if (decoded.status != DecodeStatus::done) return decoded;
  if (!fits(*decoded.header, geometry, source.variation)) return {DecodeStatus::declined, decoded.header, {}};
  preprocess({decoded.pixels, decoded.pixels.width, decoded.pixels.height, source.variation}, geometry, poll, planes);
  return decoded;
}

}  // namespace

std::vector<DecodeReport> decode_all(const std::vector<EncodedSource>& sources, const ImageGeometry& geometry,
                                     const SourceLimits& limits, const std::vector<uint8_t*>& planes,
                                     const Poll& poll) {
  std::mutex mutex;
  std::vector<DecodeReport> reports;
  DecodeThreads::shared().run(static_cast<int64_t>(sources.size()), [&](int64_t i, ImageDecoder& decoder) {
    poll();
    const auto at = static_cast<size_t>(i);
    const DecodedFile decoded = decode_one(sources[at], geometry, limits, poll, decoder, planes[at]);
    if (decoded.status == DecodeStatus::done) return;
    const std::lock_guard lock(mutex);
    reports.push_back({i, decoded.status, decoded.header, decoded.words});
  });
  std::sort(reports.begin(), reports.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
  return reports;
}

}  // namespace ood
