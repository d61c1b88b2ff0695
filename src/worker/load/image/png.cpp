#include <png.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "mgpu/error.hpp"
#include "worker/load/image/exif.hpp"
#include "worker/load/image/picture_decoder.hpp"

namespace mgpu::worker::load {
namespace {

using namespace std::string_view_literals;

std::uint32_t big_endian(const std::uint8_t* at) {
  return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 | at[3];
}

/// libpng's two structures, freed also if the header is refused.
struct Handle {
  Handle() = default;
  ~Handle() { png_destroy_read_struct(&png, &info, nullptr); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  png_structp open(void* owner, png_error_ptr on_error) {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, owner, on_error, [](png_structp, png_const_charp) {});
    if (png != nullptr) info = png_create_info_struct(png);
    if (info == nullptr) throw Error("no memory for a PNG decoder");
    return png;
  }

  png_structp png = nullptr;
  png_infop info = nullptr;
};

class PngDecoder final : public PictureDecoder {
 public:
  PngDecoder(std::span<const std::uint8_t> bytes, const LoadLimits& limits) : bytes_(bytes), rest_(bytes) {
    // libpng reads everything before the pixels first; the size is at a fixed place.
    if (bytes.size() < 33) throw Error("truncated PNG: the file ends within its header");
    constexpr std::uint8_t interlaced = 1;
    check_size(big_endian(bytes.data() + 16), big_endian(bytes.data() + 20), limits, bytes[28] == interlaced ? 4 : 0);
    png_ = handle_.open(this, on_error);
    info_ = handle_.info;
    png_set_user_limits(png_, 0x7fffffff, 0x7fffffff); // the limits were checked above
    // Texts, profiles and other chunks without pixels are skipped: libpng would decompress them, megabytes to gigabytes.
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_set_read_fn(png_, this, on_read);
    guarded([this] { png_read_info(png_, info_); });
    width_ = static_cast<int>(png_get_image_width(png_, info_));
    height_ = static_cast<int>(png_get_image_height(png_, info_));
    find_orientation();
  }

  void decode(const Window& window, RowSink& sink) override {
    guarded([this] { ask_for_rgbx(); });
    if (png_get_interlace_type(png_, info_) != PNG_INTERLACE_NONE) return decode_interlaced(window, sink);
    row_.resize(std::max(png_get_rowbytes(png_, info_), static_cast<std::size_t>(width_) * 4) + row_slack);
    // Also reads rows below the window: whether a picture counts as damaged must not depend on the crop.
    guarded([&] {
      for (int y = 0; y < height_; ++y) {
        png_read_row(png_, row_.data(), nullptr);
        if (y < window.y0 || y >= window.y1) continue;
        if (deep_grey_) narrow_grey(row_.data(), row_.data());
        sink.row(row_.data() + static_cast<std::size_t>(window.x0) * 4);
      }
    });
  }

 private:
  template <typename Calls>
  void guarded(Calls calls) {
    if (setjmp(png_jmpbuf(png_)) != 0) throw Error(reason_);
    calls();
  }

  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto* self = static_cast<PngDecoder*>(png_get_error_ptr(png));
    const bool truncated = std::string_view(message) == "truncated"sv;
    self->reason_ = truncated ? "truncated PNG: the file ends before the picture does" : "corrupt PNG: " + std::string(message);
    png_longjmp(png, 1);
  }

  static void on_read(png_structp png, png_bytep to, std::size_t count) {
    auto& rest = static_cast<PngDecoder*>(png_get_io_ptr(png))->rest_;
    if (rest.size() < count) png_error(png, "truncated");
    std::memcpy(to, rest.data(), count);
    rest = rest.subspan(count);
  }

  void ask_for_rgbx() {
    const bool deep = png_get_bit_depth(png_, info_) == 16;
    deep_grey_ = deep && png_get_color_type(png_, info_) == PNG_COLOR_TYPE_GRAY;
    if (!deep_grey_) {
      if (png_get_color_type(png_, info_) == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png_);
      png_set_expand_gray_1_2_4_to_8(png_);
      if (deep) png_set_strip_16(png_);
      png_set_strip_alpha(png_);
      png_set_gray_to_rgb(png_);
      png_set_filler(png_, 255, PNG_FILLER_AFTER);
    }
    if (png_get_interlace_type(png_, info_) != PNG_INTERLACE_NONE) png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
  }

  /// With clipping at 255 as in Pillow's convert of mode I;16. Works backwards, so it can be in place.
  void narrow_grey(const std::uint8_t* deep, std::uint8_t* rgbx) {
    for (int x = width_ - 1; x >= 0; --x) {
      const std::uint8_t value = narrowed(static_cast<std::uint16_t>(deep[x * 2] << 8 | deep[x * 2 + 1]));
      put_pixel(rgbx + static_cast<std::size_t>(x) * 4, value, value, value);
    }
  }

  void decode_interlaced(const Window& window, RowSink& sink) {
    PixelBuffer buffer(width_, height_);
    std::vector<png_bytep> rows(static_cast<std::size_t>(height_));
    for (int y = 0; y < height_; ++y) rows[static_cast<std::size_t>(y)] = buffer.row(y);
    png_bytep* const first = rows.data();
    guarded([this, first] { png_read_image(png_, first); });
    if (deep_grey_)
      for (const auto row : rows) narrow_grey(row, row);
    buffer.emit(window, sink);
  }

  /// Reads all chunks: EXIF and XMP may follow the pixels.
  void find_orientation() {
    std::span<const std::uint8_t> exif, xmp;
    for (std::size_t at = 8; bytes_.size() - at >= 12;) {
      const std::size_t length = big_endian(bytes_.data() + at);
      const std::string_view type(reinterpret_cast<const char*>(bytes_.data()) + at + 4, 4);
      if (length > bytes_.size() - at - 12) break;
      const auto data = bytes_.subspan(at + 8, length);
      const std::string_view text(reinterpret_cast<const char*>(data.data()), data.size());
      if (type == "eXIf"sv) exif = data;
      if (type == "iTXt"sv && text.starts_with("XML:com.adobe.xmp\0"sv)) xmp = data;
      at += length + 12;
    }
    orientation_ = orientation_of(exif, xmp);
  }

  std::span<const std::uint8_t> bytes_, rest_;
  Handle handle_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  bool deep_grey_ = false;
  std::string reason_;
  std::vector<std::uint8_t> row_;
};

} // namespace

std::unique_ptr<PictureDecoder> open_png(std::span<const std::uint8_t> bytes, const LoadLimits& limits) {
  return std::make_unique<PngDecoder>(bytes, limits);
}

} // namespace mgpu::worker::load
