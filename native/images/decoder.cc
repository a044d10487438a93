// Decoding by Wuffs.
#include "images/decoder.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "images/orientation.h"

#define WUFFS_IMPLEMENTATION
#define WUFFS_CONFIG__STATIC_FUNCTIONS
#define WUFFS_CONFIG__MODULES
#define WUFFS_CONFIG__MODULE__BASE
#define WUFFS_CONFIG__MODULE__ADLER32
#define WUFFS_CONFIG__MODULE__CRC32
#define WUFFS_CONFIG__MODULE__DEFLATE
#define WUFFS_CONFIG__MODULE__GIF
#define WUFFS_CONFIG__MODULE__JPEG
#define WUFFS_CONFIG__MODULE__PNG
#define WUFFS_CONFIG__MODULE__ZLIB
#include "third_party/wuffs.c"

namespace ood {

namespace {

constexpr int64_t largest_side = 65535;

// The form that the pixels of a file are decoded to.
struct Form {
  uint32_t wuffs;
  int64_t channels;
  PixelLayout layout;
};

constexpr Form grey{WUFFS_BASE__PIXEL_FORMAT__Y, 1, PixelLayout::interleaved};
constexpr Form rgb{WUFFS_BASE__PIXEL_FORMAT__RGB, 3, PixelLayout::interleaved};
constexpr Form rgba{WUFFS_BASE__PIXEL_FORMAT__RGBA_NONPREMUL, 4, PixelLayout::interleaved};
// The decoder of JPEG works in it, and takes as long again to leave out every fourth byte.
constexpr Form bgrx{WUFFS_BASE__PIXEL_FORMAT__BGRX, 4, PixelLayout::bgrx};

bool begins(std::span<const uint8_t> file, const char* bytes, size_t length) {
  return file.size() >= length && std::memcmp(file.data(), bytes, length) == 0;
}

// Whether the last chunk of a PNG is there.
bool ends(std::span<const uint8_t> rest) {
  return std::string_view(reinterpret_cast<const char*>(rest.data()), rest.size()).find("IEND") !=
         std::string_view::npos;
}

bool is_truncated(const char* error) {
  return error == wuffs_base__suspension__short_read || std::strstr(error, "truncated input") != nullptr;
}

DecodedFile failed(const char* error, std::optional<ImageHeader> header) {
  if (is_truncated(error)) return {DecodeStatus::truncated, header, {}};
  if (std::strstr(error, "unsupported") != nullptr) return {DecodeStatus::declined, header, {}};
  const char* const colon = std::strstr(error, ": ");
  return {DecodeStatus::damaged, header, {}, colon == nullptr ? error : colon + 2};
}

}  // namespace

struct ImageDecoder::Decoders {
  wuffs_jpeg__decoder jpeg;
  wuffs_png__decoder png;
  wuffs_gif__decoder gif;
};

ImageDecoder::ImageDecoder() : decoders_(std::make_unique_for_overwrite<Decoders>()) {}
ImageDecoder::~ImageDecoder() = default;

void ImageDecoder::release() {
  file_.release();
  pixels_.release();
  work_.release();
}

DecodedFile ImageDecoder::decode(std::span<const uint8_t> file, const DecodeLimits& limits,
                                 const std::function<void(int64_t)>& reserve) {
  const bool is_jpeg = begins(file, "\xff\xd8\xff", 3), is_png = begins(file, "\x89PNG\r\n\x1a\n", 8);
  const bool is_gif = begins(file, "GIF87a", 6) || begins(file, "GIF89a", 6);
  constexpr uint32_t quick = WUFFS_INITIALIZE__LEAVE_INTERNAL_BUFFERS_UNINITIALIZED;
  wuffs_base__image_decoder* decoder = nullptr;
  wuffs_base__status status = wuffs_base__make_status(nullptr);
  if (is_jpeg) {
    status = wuffs_jpeg__decoder__initialize(&decoders_->jpeg, sizeof decoders_->jpeg, WUFFS_VERSION, quick);
    decoder = wuffs_jpeg__decoder__upcast_as__wuffs_base__image_decoder(&decoders_->jpeg);
  } else if (is_png) {
    status = wuffs_png__decoder__initialize(&decoders_->png, sizeof decoders_->png, WUFFS_VERSION, quick);
    decoder = wuffs_png__decoder__upcast_as__wuffs_base__image_decoder(&decoders_->png);
  } else if (is_gif) {
    status = wuffs_gif__decoder__initialize(&decoders_->gif, sizeof decoders_->gif, WUFFS_VERSION, quick);
    decoder = wuffs_gif__decoder__upcast_as__wuffs_base__image_decoder(&decoders_->gif);
    if (status.is_ok())
      status = wuffs_gif__decoder__set_quirk(&decoders_->gif, WUFFS_GIF__QUIRK_IGNORE_TOO_MUCH_PIXEL_DATA, 1);
  } else {
    return {DecodeStatus::declined, {}, {}};
  }
  if (!status.is_ok()) return failed(status.repr, {});

  wuffs_base__io_buffer source = wuffs_base__ptr_u8__reader(const_cast<uint8_t*>(file.data()), file.size(), true);
  wuffs_base__image_config config{};
  status = wuffs_base__image_decoder__decode_image_config(decoder, &config, &source);
  if (!status.is_ok()) return failed(status.repr, {});
  ImageHeader header{config.pixcfg.width(), config.pixcfg.height(), 1, false, false};
  Form form = rgba;
  if (is_jpeg) {
    const auto& jpeg = decoders_->jpeg.private_impl;
    constexpr uint8_t extended_sequential = 0xc1;
    header.orientation = jpeg_orientation(file);
    header.inks = jpeg.f_num_components == 4;
    header.in_rows = jpeg.f_sof_marker <= extended_sequential && !header.inks;
    form = jpeg.f_num_components == 1 ? grey : bgrx;
  } else if (is_png) {
    header.orientation = png_orientation(file);
    const wuffs_base__pixel_format stored = config.pixcfg.pixel_format();
    if (stored.transparency() == WUFFS_BASE__PIXEL_ALPHA_TRANSPARENCY__OPAQUE)
      form = stored.coloration() == 1 ? grey : rgb;
  }
  if (header.width == 0 || header.height == 0) return {DecodeStatus::damaged, header, {}, "no pixels"};
  if (std::max(header.width, header.height) > largest_side || header.width * header.height > limits.pixels)
    return {DecodeStatus::declined, header, {}};

  const int64_t bytes = header.width * header.height * form.channels;
  const auto work_bytes = static_cast<int64_t>(wuffs_base__image_decoder__workbuf_len(decoder).max_incl);
  reserve(bytes + work_bytes);
  uint8_t* const pixels = pixels_.at_least(bytes);
  // A frame of a GIF may cover a part; a file that is cut off too.
  if (is_gif || limits.accept_truncated) std::memset(pixels, 0, static_cast<size_t>(bytes));
  config.pixcfg.set(form.wuffs, 0, static_cast<uint32_t>(header.width), static_cast<uint32_t>(header.height));
  wuffs_base__pixel_buffer buffer{};
  status = buffer.set_from_slice(&config.pixcfg, wuffs_base__make_slice_u8(pixels, static_cast<size_t>(bytes)));
  if (status.is_ok()) {
    status = wuffs_base__image_decoder__decode_frame(
        decoder, &buffer, &source, WUFFS_BASE__PIXEL_BLEND__SRC,
        wuffs_base__make_slice_u8(work_.at_least(work_bytes), static_cast<size_t>(work_bytes)), nullptr);
  }
  // The zeros that the bits ran out into came after the end of the file, not before a marker.
  if (is_jpeg && status.repr == wuffs_jpeg__error__short_sos_bitstream &&
      decoders_->jpeg.private_impl.f_bitstream_is_closed)
    status.repr = wuffs_jpeg__error__truncated_input;
  const bool accepted = !status.is_ok() && is_truncated(status.repr) && limits.accept_truncated;
  // The pixels may be there where the end is not.
  if (status.is_ok() && is_png && !limits.accept_truncated && !ends(file.subspan(source.meta.ri)))
    return {DecodeStatus::truncated, header, {}};
  if (!status.is_ok() && !accepted) return failed(status.repr, header);
  if (is_jpeg && !accepted && decoders_->jpeg.private_impl.f_damaged)
    return {DecodeStatus::damaged, header, {}, "coded pixels are damaged or missing"};
  return {DecodeStatus::done, header,
          StoredPixels{pixels, header.width, header.height, form.channels, form.layout, header.orientation}};
}

}  // namespace ood
