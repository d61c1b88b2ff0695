#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "mgpu/error.hpp"
#include "worker/load/image/picture_decoder.hpp"

namespace mgpu::worker::load {
namespace {

/// Windows bitmap: 1, 4, 8 bits with a palette (also run-length coded), 16, 24, 32 bits with or without masks. Alpha is dropped.
class BmpDecoder final : public PictureDecoder {
 public:
  BmpDecoder(std::span<const std::uint8_t> bytes, const LoadLimits& limits) : bytes_(bytes) {
    const std::uint32_t header = number(14, 4);
    const bool old = header == 12; // OS/2: 16-bit sizes, palette of 3 bytes
    if (!old && (header < 40 || header > 4096)) throw Error(fmt::format("not a picture: BMP header of {} bytes", header));
    const auto stored_width = old ? static_cast<std::int64_t>(number(18, 2)) : static_cast<std::int32_t>(number(18, 4));
    const auto stored_height = old ? static_cast<std::int64_t>(number(20, 2)) : static_cast<std::int32_t>(number(22, 4));
    top_down_ = stored_height < 0;
    if (stored_width < 0) throw Error("corrupt BMP: negative width");
    check_size(static_cast<std::uint64_t>(stored_width), static_cast<std::uint64_t>(std::abs(stored_height)), limits);
    width_ = static_cast<int>(stored_width);
    height_ = static_cast<int>(std::abs(stored_height));
    bits_ = static_cast<int>(number(old ? 24 : 28, 2));
    compression_ = old ? 0 : number(30, 4);
    pixels_at_ = number(10, 4);
    read_masks(header);
    if (bits_ <= 8) read_palette(header, old);
    const bool runs = compression_ == rle8 || compression_ == rle4;
    check_size(static_cast<std::uint64_t>(width_), static_cast<std::uint64_t>(height_), limits, runs ? 1 : 0);
  }

  void decode(const Window& window, RowSink& sink) override {
    if (compression_ == rle8 || compression_ == rle4) return decode_runs(window, sink);
    const std::size_t stride = (static_cast<std::size_t>(width_) * static_cast<std::size_t>(bits_) + 31) / 32 * 4;
    const std::size_t used = (static_cast<std::size_t>(width_) * static_cast<std::size_t>(bits_) + 7) / 8;
    if (pixels_at_ > bytes_.size() || bytes_.size() - pixels_at_ < stride * static_cast<std::size_t>(height_ - 1) + used)
      throw Error("truncated BMP: the file ends before the picture does");
    std::vector<std::uint8_t> row(static_cast<std::size_t>(width_) * 4 + row_slack);
    for (int y = window.y0; y < window.y1; ++y) {
      const std::size_t line = static_cast<std::size_t>(top_down_ ? y : height_ - 1 - y);
      const std::uint8_t* from = bytes_.data() + pixels_at_ + line * stride;
      for (int x = window.x0; x < window.x1; ++x) put(from, x, row.data() + static_cast<std::size_t>(x) * 4);
      sink.row(row.data() + static_cast<std::size_t>(window.x0) * 4);
    }
  }

 private:
  static constexpr std::uint32_t rle8 = 1, rle4 = 2, bitfields = 3, alpha_bitfields = 6;

  /// Little-endian number; 0 beyond the end of the file.
  std::uint32_t number(std::size_t at, int size) const {
    std::uint32_t value = 0;
    for (int i = size - 1; i >= 0; --i)
      value = value << 8 | (at + static_cast<std::size_t>(i) < bytes_.size() ? bytes_[at + static_cast<std::size_t>(i)] : 0u);
    return value;
  }

  void read_masks(std::uint32_t header) {
    const bool masked = compression_ == bitfields || compression_ == alpha_bitfields;
    const bool runs = (compression_ == rle8 && bits_ == 8) || (compression_ == rle4 && bits_ == 4);
    const bool plain = compression_ == 0 && (bits_ == 1 || bits_ == 4 || bits_ == 8 || bits_ == 16 || bits_ == 24 || bits_ == 32);
    if (!runs && !plain && !(masked && (bits_ == 16 || bits_ == 24 || bits_ == 32)))
      throw Error(fmt::format("BMP of {} bits with compression {} is not supported", bits_, compression_));
    if (bits_ == 16)
      masks_ = {0x7c00, 0x3e0, 0x1f};
    else
      masks_ = {0xff0000, 0xff00, 0xff};
    if (!masked) return;
    const std::array<std::uint32_t, 3> given{number(54, 4), number(58, 4), number(62, 4)};
    (void)header; // the masks follow the first 40 bytes of every header
    if (given[0] != 0 || given[1] != 0 || given[2] != 0) masks_ = given;
    for (const auto mask : masks_)
      if (mask == 0) throw Error("corrupt BMP: a colour without bits");
  }

  void read_palette(std::uint32_t header, bool old) {
    const std::size_t entry = old ? 3 : 4, at = 14 + header;
    std::uint32_t colours = old ? 0 : number(46, 4);
    if (colours == 0 || colours > 256) colours = 1u << bits_;
    for (std::size_t i = 0; i < colours; ++i)
      put_pixel(palette_[i].data(), static_cast<std::uint8_t>(number(at + i * entry + 2, 1)),
                static_cast<std::uint8_t>(number(at + i * entry + 1, 1)), static_cast<std::uint8_t>(number(at + i * entry, 1)));
  }

  /// A masked component scaled to 0..255.
  static std::uint8_t component(std::uint32_t value, std::uint32_t mask) {
    const std::uint32_t most = mask >> std::countr_zero(mask), part = (value & mask) >> std::countr_zero(mask);
    return static_cast<std::uint8_t>(std::uint64_t{part} * 255 / most);
  }

  void put(const std::uint8_t* row, int x, std::uint8_t* rgbx) const {
    const auto i = static_cast<std::size_t>(x);
    if (bits_ <= 8) {
      const std::size_t bit = i * static_cast<std::size_t>(bits_);
      const int shift = 8 - bits_ - static_cast<int>(bit % 8);
      const auto& colour = palette_[static_cast<std::size_t>((row[bit / 8] >> shift) & ((1 << bits_) - 1))];
      return put_pixel(rgbx, colour[0], colour[1], colour[2]);
    }
    std::uint32_t value = 0;
    const int size = bits_ / 8;
    for (int b = size - 1; b >= 0; --b)
      value = value << 8 | row[i * static_cast<std::size_t>(size) + static_cast<std::size_t>(b)];
    put_pixel(rgbx, component(value, masks_[0]), component(value, masks_[1]), component(value, masks_[2]));
  }

  void decode_runs(const Window& window, RowSink& sink) {
    const ZeroBytes indices = zero_bytes(static_cast<std::size_t>(width_) * static_cast<std::size_t>(height_));
    read_runs(indices.get());
    std::vector<std::uint8_t> row(static_cast<std::size_t>(width_) * 4 + row_slack);
    for (int y = window.y0; y < window.y1; ++y) {
      const std::size_t line = static_cast<std::size_t>(top_down_ ? y : height_ - 1 - y) * static_cast<std::size_t>(width_);
      for (int x = window.x0; x < window.x1; ++x) {
        const auto& colour = palette_[indices[line + static_cast<std::size_t>(x)]];
        put_pixel(row.data() + static_cast<std::size_t>(x) * 4, colour[0], colour[1], colour[2]);
      }
      sink.row(row.data() + static_cast<std::size_t>(window.x0) * 4);
    }
  }

  /// Run-length codes: (n, v) n pixels of v; (0, 0) end of line; (0, 1) end; (0, 2) dx dy; (0, n) n literal pixels, padded to 16 bits.
  void read_runs(std::uint8_t* indices) const {
    const bool nibbles = compression_ == rle4;
    int x = 0, y = 0;
    const auto set = [&](std::uint8_t index) {
      if (x < width_ && y < height_)
        indices[static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x)] = index;
      ++x;
    };
    const auto nibble = [&](std::uint8_t byte, int i) -> std::uint8_t {
      if (!nibbles) return byte;
      return static_cast<std::uint8_t>(i % 2 == 0 ? byte >> 4 : byte & 15);
    };
    for (std::size_t at = pixels_at_; y < height_;) {
      if (at + 2 > bytes_.size()) throw Error("truncated BMP: the file ends before the picture does");
      const int count = bytes_[at];
      const std::uint8_t value = bytes_[at + 1];
      at += 2;
      if (count > 0) {
        for (int i = 0; i < count; ++i) set(nibble(value, i));
      } else if (value == 0) {
        x = 0, ++y;
      } else if (value == 1) {
        return;
      } else if (value == 2) {
        x += static_cast<int>(number(at, 1)), y += static_cast<int>(number(at + 1, 1));
        at += 2;
      } else {
        const std::size_t size = nibbles ? (value + 1u) / 2 : value;
        if (at + size > bytes_.size()) throw Error("truncated BMP: the file ends before the picture does");
        for (int i = 0; i < value; ++i) set(nibble(bytes_[at + static_cast<std::size_t>(nibbles ? i / 2 : i)], i));
        at += (size + 1) / 2 * 2;
      }
    }
  }

  std::span<const std::uint8_t> bytes_;
  bool top_down_ = false;
  int bits_ = 0;
  std::uint32_t compression_ = 0;
  std::size_t pixels_at_ = 0;
  std::array<std::uint32_t, 3> masks_{};
  std::array<std::array<std::uint8_t, 4>, 256> palette_{};
};

} // namespace

std::unique_ptr<PictureDecoder> open_bmp(std::span<const std::uint8_t> bytes, const LoadLimits& limits) {
  return std::make_unique<BmpDecoder>(bytes, limits);
}

} // namespace mgpu::worker::load
