#include <png.h>

#include <limits>
#include <string>

#include "mgpu/error.hpp"
#include "mgpu/picture.hpp"
#include "worker/load/image/check_picture.hpp"

namespace mgpu {

namespace {

class PngWriter {
 public:
  PngWriter() : png_(png_create_write_struct(PNG_LIBPNG_VER_STRING, this, on_error, [](png_structp, png_const_charp) {})) {
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
    if (info_ != nullptr) return;
    png_destroy_write_struct(&png_, nullptr);
    throw Error("no memory for a PNG encoder");
  }
  ~PngWriter() { png_destroy_write_struct(&png_, &info_); }
  PngWriter(const PngWriter&) = delete;
  PngWriter& operator=(const PngWriter&) = delete;

  std::string write(const Picture& picture) {
    // libpng's errors end in longjmp; no object with a destructor is alive in this frame.
    if (setjmp(png_jmpbuf(png_)) != 0) throw Error("PNG: " + reason_);
    write_all(picture);
    return std::move(bytes_);
  }

 private:
  void write_all(const Picture& picture) {
    png_set_write_fn(png_, this, on_write, [](png_structp) {});
    png_set_user_limits(png_, 0x7fffffff, 0x7fffffff); // the size was checked above
    png_set_IHDR(png_, info_, static_cast<png_uint_32>(picture.width), static_cast<png_uint_32>(picture.height), 8,
                 picture.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png_, info_);
    const std::size_t row_bytes = static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.channels);
    const std::uint8_t* row = picture.pixels.data();
    for (int y = 0; y < picture.height; ++y, row += row_bytes) png_write_row(png_, row);
    png_write_end(png_, info_);
  }

  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    static_cast<PngWriter*>(png_get_error_ptr(png))->reason_ = message;
    png_longjmp(png, 1);
  }

  static void on_write(png_structp png, png_bytep from, std::size_t count) {
    if (!static_cast<PngWriter*>(png_get_io_ptr(png))->append(from, count)) png_error(png, "no memory");
  }

  bool append(const std::uint8_t* from, std::size_t count) noexcept {
    try {
      bytes_.append(reinterpret_cast<const char*>(from), count);
      return true;
    } catch (const std::exception&) { // it must not pass through libpng
      return false;
    }
  }

  png_structp png_;
  png_infop info_ = nullptr;
  std::string bytes_, reason_;
};

} // namespace

std::string encode_png(const Picture& picture) {
  worker::load::check_picture(picture, "a PNG", std::numeric_limits<int>::max());
  return PngWriter().write(picture);
}

} // namespace mgpu
