#pragma once
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "mgpu/load.hpp"

namespace mgpu::worker::load {

/// Part of a picture in pixels, end exclusive.
struct Window {
  int x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  int width() const { return x1 - x0; }
  int height() const { return y1 - y0; }
};

/// Bytes that must be readable after the last pixel of a row, because vector code loads past it.
inline constexpr int row_slack = 64;

/// Receives decoded rows from top to bottom.
class RowSink {
 public:
  virtual ~RowSink() = default;
  /// One row of the window: 4 bytes per pixel (red, green, blue, undefined), then `row_slack` readable bytes. Must not throw.
  virtual void row(const std::uint8_t* rgbx) = 0;
};

/// One encoded picture whose header has been read. Width and height are as stored, before `orientation` is applied.
class PictureDecoder {
 public:
  virtual ~PictureDecoder() = default;
  int width() const { return width_; }
  int height() const { return height_; }
  int orientation() const { return orientation_; } ///< EXIF 1..8

  /// Sets the conversion of 16-bit grey to 8 bits; before decode().
  void set_grey16(Grey16 how) { grey16_ = how; }
  /// Whether values above 255 were clipped.
  bool clipped() const { return clipped_; }

  /// Makes the decoder deliver 1/denominator of the size, for its largest denominator ≤ `most`; returns it. Width and height
  /// become ceil(size / denominator). Returns 1 if the format does not support it.
  virtual int reduce(int most) {
    (void)most;
    return 1;
  }
  /// Decodes the window, row by row, with the result of Pillow's convert("RGB"). Call once. Throws Error with the reason.
  virtual void decode(const Window& window, RowSink& sink) = 0;

 protected:
  std::uint8_t narrowed(std::uint16_t deep) {
    if (grey16_ == Grey16::scale) return static_cast<std::uint8_t>((deep * 255U + 32895U) >> 16); // round(deep / 257)
    clipped_ |= deep > 255;
    return static_cast<std::uint8_t>(deep > 255 ? 255 : deep);
  }
  int width_ = 0, height_ = 0, orientation_ = 1;

 private:
  Grey16 grey16_ = Grey16::clip;
  bool clipped_ = false;
};

/// Reads the header of a picture; the first bytes determine the format. `bytes` must outlive the decoder; one decoder at a time
/// per thread (libjpeg's state is reused). Throws Error: not a picture, unusable header, more pixels than the limit.
std::unique_ptr<PictureDecoder> open_picture(std::span<const std::uint8_t> bytes, const LoadLimits& limits);

/// Whether the first bytes are a JPEG's.
bool is_jpeg(std::span<const std::uint8_t> bytes);

/// Throws Error "WxH pixels, limit N" (also for empty pictures), or if decoding with `bytes_a_pixel` bytes per pixel needs more
/// memory than the limit.
void check_size(std::uint64_t width, std::uint64_t height, const LoadLimits& limits, std::uint64_t bytes_a_pixel = 0);
/// Throws Error "WHAT takes N bytes of memory, limit M".
void check_memory(std::string_view what, std::uint64_t bytes, const LoadLimits& limits);

std::unique_ptr<PictureDecoder> open_jpeg(std::span<const std::uint8_t> bytes, const LoadLimits& limits);
std::unique_ptr<PictureDecoder> open_png(std::span<const std::uint8_t> bytes, const LoadLimits& limits);
std::unique_ptr<PictureDecoder> open_webp(std::span<const std::uint8_t> bytes, const LoadLimits& limits);
std::unique_ptr<PictureDecoder> open_tiff(std::span<const std::uint8_t> bytes, const LoadLimits& limits);
std::unique_ptr<PictureDecoder> open_bmp(std::span<const std::uint8_t> bytes, const LoadLimits& limits);
std::unique_ptr<PictureDecoder> open_gif(std::span<const std::uint8_t> bytes, const LoadLimits& limits);

/// Zeroed memory that is allocated when it is written: a file that claims a large picture and ends at once uses hardly any.
struct FreeBytes {
  void operator()(std::uint8_t* bytes) const { std::free(bytes); }
};
using ZeroBytes = std::unique_ptr<std::uint8_t[], FreeBytes>;
/// Throws Error (Cause::memory).
ZeroBytes zero_bytes(std::size_t size);

/// Rows of a whole RGBX picture in memory, for formats that cannot be decoded in part.
class PixelBuffer {
 public:
  PixelBuffer(int width, int height);
  std::uint8_t* row(int y) { return bytes_.get() + static_cast<std::size_t>(y) * stride_; }
  /// Passes the window's rows to the sink.
  void emit(const Window& window, RowSink& sink);

 private:
  std::size_t stride_;
  ZeroBytes bytes_;
};

/// Writes one RGBX pixel.
inline void put_pixel(std::uint8_t* rgbx, std::uint8_t red, std::uint8_t green, std::uint8_t blue) {
  rgbx[0] = red;
  rgbx[1] = green;
  rgbx[2] = blue;
  rgbx[3] = 255;
}

/// Pillow's CMYK → RGB (ink amounts, 255 = full ink).
inline void put_cmyk(std::uint8_t* rgbx, int cyan, int magenta, int yellow, int black) {
  const int light = 255 - black;
  const auto mix = [light](int ink) {
    const int product = ink * light + 128;
    return static_cast<std::uint8_t>(light - ((product + (product >> 8)) >> 8));
  };
  put_pixel(rgbx, mix(cyan), mix(magenta), mix(yellow));
}

} // namespace mgpu::worker::load
