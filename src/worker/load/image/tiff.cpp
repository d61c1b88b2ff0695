#include <fmt/format.h>
#include <tiffio.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "mgpu/error.hpp"
#include "worker/load/image/picture_decoder.hpp"

namespace mgpu::worker::load {
namespace {

/// The file for libtiff's client functions.
struct Memory {
  std::span<const std::uint8_t> bytes;
  std::uint64_t at = 0;
  std::string reason; ///< libtiff's first error

  static tmsize_t read(thandle_t handle, void* to, tmsize_t count) {
    auto& self = *static_cast<Memory*>(handle);
    const std::uint64_t left = self.at < self.bytes.size() ? self.bytes.size() - self.at : 0;
    const auto got = std::min<std::uint64_t>(left, static_cast<std::uint64_t>(std::max<tmsize_t>(count, 0)));
    if (got > 0) std::memcpy(to, self.bytes.data() + self.at, got);
    self.at += got;
    return static_cast<tmsize_t>(got);
  }
  static tmsize_t write(thandle_t, void*, tmsize_t) { return 0; }
  static toff_t seek(thandle_t handle, toff_t offset, int whence) {
    auto& self = *static_cast<Memory*>(handle);
    const std::uint64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? self.at : self.bytes.size();
    return self.at = base + offset;
  }
  static toff_t size(thandle_t handle) { return static_cast<Memory*>(handle)->bytes.size(); }
  static int close(thandle_t) { return 0; }
  static int on_error(TIFF*, void* user, const char*, const char* format, va_list arguments) {
    auto& self = *static_cast<Memory*>(user);
    char text[256];
    std::vsnprintf(text, sizeof text, format, arguments);
    if (self.reason.empty()) self.reason = text;
    return 1;
  }
  static int on_warning(TIFF*, void*, const char*, const char*, va_list) { return 1; }
};

/// First page of a TIFF: 1, 2, 4, 8, 16 bits; grey, palette, RGB, CMYK, YCbCr; strips or tiles, any compression of libtiff.
class TiffDecoder final : public PictureDecoder {
 public:
  TiffDecoder(std::span<const std::uint8_t> bytes, const LoadLimits& limits) : memory_{bytes, 0, {}}, limits_(limits) {
    const std::unique_ptr<TIFFOpenOptions, decltype(&TIFFOpenOptionsFree)> options(TIFFOpenOptionsAlloc(), TIFFOpenOptionsFree);
    TIFFOpenOptionsSetErrorHandlerExtR(options.get(), Memory::on_error, &memory_);
    TIFFOpenOptionsSetWarningHandlerExtR(options.get(), Memory::on_warning, &memory_);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(),
                                        static_cast<tmsize_t>(std::min<std::uint64_t>(limits.memory_bytes, INT64_MAX)));
    // 'm': no memory mapping; the bytes are in memory already.
    tiff_.reset(TIFFClientOpenExt("picture", "rm", &memory_, Memory::read, Memory::write, Memory::seek, Memory::close,
                                  Memory::size, nullptr, nullptr, options.get()));
    if (tiff_ == nullptr) throw corrupt();
    const auto columns = field<std::uint32_t>(TIFFTAG_IMAGEWIDTH, 0), rows = field<std::uint32_t>(TIFFTAG_IMAGELENGTH, 0);
    check_size(columns, rows, limits, 4);
    width_ = static_cast<int>(columns);
    height_ = static_cast<int>(rows);
    const auto orientation = field<std::uint16_t>(TIFFTAG_ORIENTATION, 1);
    orientation_ = orientation >= 1 && orientation <= 8 ? orientation : 1;
    bits_ = field<std::uint16_t>(TIFFTAG_BITSPERSAMPLE, 1);
    samples_ = field<std::uint16_t>(TIFFTAG_SAMPLESPERPIXEL, 1);
    photometric_ = field<std::uint16_t>(TIFFTAG_PHOTOMETRIC, samples_ >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK);
    separate_ = field<std::uint16_t>(TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) == PLANARCONFIG_SEPARATE;
    if (photometric_ == PHOTOMETRIC_YCBCR && field<std::uint16_t>(TIFFTAG_COMPRESSION, 0) == COMPRESSION_JPEG) {
      TIFFSetField(tiff_.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
      photometric_ = PHOTOMETRIC_RGB;
    }
  }

  void decode(const Window& window, RowSink& sink) override {
    PixelBuffer buffer(width_, height_);
    if (photometric_ == PHOTOMETRIC_YCBCR) {
      decode_by_libtiff(buffer);
    } else {
      check_layout();
      for (int plane = 0; plane < (separate_ ? used_samples() : 1); ++plane) {
        if (TIFFIsTiled(tiff_.get()) != 0)
          read_tiles(plane, buffer);
        else
          read_strips(plane, buffer);
      }
      colour(buffer);
    }
    buffer.emit(window, sink);
  }

 private:
  template <typename T>
  T field(std::uint32_t tag, T otherwise) const {
    T value = otherwise;
    return TIFFGetFieldDefaulted(tiff_.get(), tag, &value) != 0 ? value : otherwise;
  }

  Error corrupt() const {
    const bool truncated =
        memory_.reason.find("Read error") != std::string::npos || memory_.reason.find("read error") != std::string::npos;
    if (truncated) return Error("truncated TIFF: " + memory_.reason);
    return Error("corrupt TIFF: " + (memory_.reason.empty() ? "its pixels cannot be decoded" : memory_.reason));
  }

  /// Number of colour samples; the others (alpha) are dropped.
  int used_samples() const {
    if (photometric_ == PHOTOMETRIC_RGB) return 3;
    return photometric_ == PHOTOMETRIC_SEPARATED ? 4 : 1;
  }

  void check_layout() const {
    const bool known = photometric_ == PHOTOMETRIC_MINISWHITE || photometric_ == PHOTOMETRIC_MINISBLACK ||
                       photometric_ == PHOTOMETRIC_PALETTE || photometric_ == PHOTOMETRIC_RGB ||
                       photometric_ == PHOTOMETRIC_SEPARATED;
    const bool single = used_samples() == 1;
    const bool whole_bytes = bits_ == 8 || bits_ == 16, small = bits_ == 1 || bits_ == 2 || bits_ == 4;
    const bool integers = field<std::uint16_t>(TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT) == SAMPLEFORMAT_UINT;
    if (!known || !integers || samples_ < used_samples() || !(whole_bytes || (small && single && samples_ == 1)))
      throw Error(fmt::format("TIFF of {} × {} bits, photometric {}, is not supported", samples_, bits_, photometric_));
  }

  void read_strips(int plane, PixelBuffer& buffer) {
    std::vector<std::uint8_t> line(static_cast<std::size_t>(std::max<tmsize_t>(TIFFScanlineSize(tiff_.get()), 0)) + 8);
    check_line(line.size(), width_);
    for (int y = 0; y < height_; ++y) {
      if (TIFFReadScanline(tiff_.get(), line.data(), static_cast<std::uint32_t>(y), static_cast<std::uint16_t>(plane)) < 0)
        throw corrupt();
      take(line.data(), plane, width_, buffer.row(y));
    }
  }

  void read_tiles(int plane, PixelBuffer& buffer) {
    const auto across = field<std::uint32_t>(TIFFTAG_TILEWIDTH, 0), down = field<std::uint32_t>(TIFFTAG_TILELENGTH, 0);
    const tmsize_t size = TIFFTileSize(tiff_.get()), line = TIFFTileRowSize(tiff_.get());
    if (across == 0 || down == 0 || size <= 0 || line <= 0 || size > (tmsize_t{1} << 31)) throw corrupt();
    // Refuses tiles that are much larger than the picture, which would waste memory.
    constexpr tmsize_t small_tile = 16 << 20;
    const auto whole = static_cast<tmsize_t>(width_) * height_ * samples_ * ((bits_ + 7) / 8);
    if (size > std::max(small_tile, 4 * whole))
      throw Error(fmt::format("corrupt TIFF: tiles of {}x{} for {}x{} pixels", across, down, width_, height_));
    check_memory("a tile", static_cast<std::uint64_t>(size), limits_);
    check_line(static_cast<std::size_t>(line) + 8,
               static_cast<int>(std::min<std::uint32_t>(across, static_cast<std::uint32_t>(width_))));
    const ZeroBytes tile = zero_bytes(static_cast<std::size_t>(size) + 8);
    for (std::uint32_t y = 0; y < static_cast<std::uint32_t>(height_); y += down)
      for (std::uint32_t x = 0; x < static_cast<std::uint32_t>(width_); x += across) {
        if (TIFFReadTile(tiff_.get(), tile.get(), x, y, 0, static_cast<std::uint16_t>(plane)) < 0) throw corrupt();
        const int columns = static_cast<int>(std::min(across, static_cast<std::uint32_t>(width_) - x));
        for (std::uint32_t i = 0; i < std::min(down, static_cast<std::uint32_t>(height_) - y); ++i)
          take(tile.get() + static_cast<std::size_t>(i) * static_cast<std::size_t>(line), plane, columns,
               buffer.row(static_cast<int>(y + i)) + static_cast<std::size_t>(x) * 4);
      }
  }

  void check_line(std::size_t have, int columns) const {
    const std::size_t samples = separate_ ? 1 : static_cast<std::size_t>(samples_);
    if (have < (static_cast<std::size_t>(columns) * samples * static_cast<std::size_t>(bits_) + 7) / 8) throw corrupt();
  }

  /// Copies the samples of a line to bytes 0..3 of the pixels, before the conversion to colours. 16-bit samples keep their high
  /// byte (as in Pillow), 16-bit grey is narrowed().
  void take(const std::uint8_t* line, int plane, int columns, std::uint8_t* pixels) {
    const int step = separate_ ? 1 : samples_, used = separate_ ? 1 : used_samples();
    const bool grey = used_samples() == 1;
    for (int x = 0; x < columns; ++x, pixels += 4)
      for (int s = 0; s < used; ++s) {
        std::uint8_t value = 0;
        const auto at = static_cast<std::size_t>(x) * static_cast<std::size_t>(step) + static_cast<std::size_t>(s);
        if (bits_ == 8) {
          value = line[at];
        } else if (bits_ == 16) {
          std::uint16_t deep = 0;
          std::memcpy(&deep, line + at * 2, 2); // libtiff returns the machine's byte order
          value = grey ? narrowed(deep) : static_cast<std::uint8_t>(deep >> 8);
        } else {
          const std::size_t bit = at * static_cast<std::size_t>(bits_);
          value = static_cast<std::uint8_t>((line[bit / 8] >> (8 - bits_ - static_cast<int>(bit % 8))) & ((1 << bits_) - 1));
        }
        pixels[separate_ ? plane : s] = value;
      }
  }

  /// Converts samples to colours in place.
  void colour(PixelBuffer& buffer) const {
    if (photometric_ == PHOTOMETRIC_RGB) return;
    const auto palette = one_sample_colours();
    for (int y = 0; y < height_; ++y) {
      std::uint8_t* pixel = buffer.row(y);
      for (int x = 0; x < width_; ++x, pixel += 4) {
        if (photometric_ == PHOTOMETRIC_SEPARATED)
          put_cmyk(pixel, pixel[0], pixel[1], pixel[2], pixel[3]);
        else
          std::memcpy(pixel, palette[pixel[0]].data(), 4);
      }
    }
  }

  std::array<std::array<std::uint8_t, 4>, 256> one_sample_colours() const {
    std::array<std::array<std::uint8_t, 4>, 256> colours{};
    std::uint16_t *red = nullptr, *green = nullptr, *blue = nullptr;
    const bool palette = photometric_ == PHOTOMETRIC_PALETTE;
    if (palette && TIFFGetField(tiff_.get(), TIFFTAG_COLORMAP, &red, &green, &blue) == 0) throw Error("corrupt TIFF: no palette");
    const int values = bits_ >= 8 ? 256 : 1 << bits_;
    for (int i = 0; i < values; ++i) {
      auto& entry = colours[static_cast<std::size_t>(i)];
      if (palette) {
        put_pixel(entry.data(), static_cast<std::uint8_t>(red[i] >> 8), static_cast<std::uint8_t>(green[i] >> 8),
                  static_cast<std::uint8_t>(blue[i] >> 8));
      } else {
        const int grey = i * 255 / (values - 1);
        const auto value = static_cast<std::uint8_t>(photometric_ == PHOTOMETRIC_MINISWHITE ? 255 - grey : grey);
        put_pixel(entry.data(), value, value, value);
      }
    }
    return colours;
  }

  /// Uses libtiff's conversion for YCbCr that is not JPEG.
  void decode_by_libtiff(PixelBuffer& buffer) {
    std::vector<std::uint32_t> raster(static_cast<std::size_t>(width_) * static_cast<std::size_t>(height_));
    const int done = TIFFReadRGBAImageOriented(tiff_.get(), static_cast<std::uint32_t>(width_),
                                               static_cast<std::uint32_t>(height_), raster.data(), orientation_, 1);
    if (done == 0) throw corrupt();
    for (int y = 0; y < height_; ++y)
      for (int x = 0; x < width_; ++x) {
        const std::uint32_t value =
            raster[static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x)];
        put_pixel(buffer.row(y) + static_cast<std::size_t>(x) * 4, TIFFGetR(value), TIFFGetG(value), TIFFGetB(value));
      }
  }

  struct Close {
    void operator()(TIFF* tiff) const { TIFFClose(tiff); }
  };
  Memory memory_;
  LoadLimits limits_;
  int bits_ = 0, samples_ = 0, photometric_ = 0;
  bool separate_ = false;
  std::unique_ptr<TIFF, Close> tiff_;
};

} // namespace

std::unique_ptr<PictureDecoder> open_tiff(std::span<const std::uint8_t> bytes, const LoadLimits& limits) {
  return std::make_unique<TiffDecoder>(bytes, limits);
}

} // namespace mgpu::worker::load
