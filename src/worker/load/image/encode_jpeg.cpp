#include <csetjmp>
#include <cstddef>
#include <cstdio>
// jpeglib.h needs size_t and FILE from the headers above.
#include <jerror.h>
#include <jpeglib.h>

#include <string>
#include <vector>

#include "mgpu/error.hpp"
#include "mgpu/picture.hpp"
#include "worker/load/image/check_picture.hpp"

namespace mgpu {

namespace {

constexpr std::size_t part_bytes = 64 * 1024; ///< libjpeg hands the file over in parts of this size

class JpegWriter {
 public:
  JpegWriter() : part_(part_bytes) {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = [](j_common_ptr common) {
      auto* errors = reinterpret_cast<Errors*>(common->err);
      common->err->format_message(common, errors->message);
      std::longjmp(errors->jump, 1);
    };
    errors_.base.output_message = [](j_common_ptr) {};
    info_.client_data = this;
    destination_.init_destination = [](j_compress_ptr info) { self(info)->begin_part(); };
    destination_.empty_output_buffer = [](j_compress_ptr info) -> boolean {
      if (!self(info)->take(part_bytes)) ERREXIT1(info, JERR_OUT_OF_MEMORY, 0);
      self(info)->begin_part();
      return TRUE;
    };
    destination_.term_destination = [](j_compress_ptr info) {
      if (!self(info)->take(part_bytes - info->dest->free_in_buffer)) ERREXIT1(info, JERR_OUT_OF_MEMORY, 0);
    };
  }
  ~JpegWriter() { jpeg_destroy_compress(&info_); }
  JpegWriter(const JpegWriter&) = delete;
  JpegWriter& operator=(const JpegWriter&) = delete;

  std::string write(const Picture& picture, int quality) {
    // libjpeg's errors end in longjmp; no object with a destructor is alive in this frame.
    if (setjmp(errors_.jump) != 0) throw Error(std::string("JPEG: ") + errors_.message);
    write_all(picture, quality);
    return std::move(bytes_);
  }

 private:
  struct Errors {
    jpeg_error_mgr base;
    std::jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
  };

  static JpegWriter* self(j_compress_ptr info) { return static_cast<JpegWriter*>(info->client_data); }

  void write_all(const Picture& picture, int quality) {
    jpeg_create_compress(&info_); // it may fail, too; it keeps err and client_data
    info_.dest = &destination_;
    info_.image_width = static_cast<JDIMENSION>(picture.width);
    info_.image_height = static_cast<JDIMENSION>(picture.height);
    info_.input_components = picture.channels;
    info_.in_color_space = picture.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&info_);
    jpeg_set_quality(&info_, quality, TRUE);
    jpeg_start_compress(&info_, TRUE);
    const std::size_t row_bytes = static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.channels);
    while (info_.next_scanline < info_.image_height) {
      // libjpeg's interface has no const; it does not write to the row.
      auto* row = const_cast<JSAMPROW>(picture.pixels.data() + info_.next_scanline * row_bytes);
      jpeg_write_scanlines(&info_, &row, 1);
    }
    jpeg_finish_compress(&info_);
  }

  void begin_part() {
    destination_.next_output_byte = part_.data();
    destination_.free_in_buffer = part_bytes;
  }

  bool take(std::size_t count) noexcept {
    try {
      bytes_.append(reinterpret_cast<const char*>(part_.data()), count);
      return true;
    } catch (const std::exception&) { // it must not pass through libjpeg
      return false;
    }
  }

  jpeg_compress_struct info_{};
  Errors errors_{};
  jpeg_destination_mgr destination_{};
  std::vector<std::uint8_t> part_;
  std::string bytes_;
};

} // namespace

std::string encode_jpeg(const Picture& picture, int quality) {
  worker::load::check_picture(picture, "a JPEG", JPEG_MAX_DIMENSION);
  worker::load::check_quality(quality, "a JPEG");
  return JpegWriter().write(picture, quality);
}

} // namespace mgpu
