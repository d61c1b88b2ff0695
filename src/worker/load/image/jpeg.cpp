#include <csetjmp>
#include <cstddef>
#include <cstdio>
// jpeglib.h needs size_t and FILE from the headers above.
#include <fmt/format.h>
#include <jerror.h>
#include <jpeglib.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include "mgpu/error.hpp"
#include "worker/load/image/exif.hpp"
#include "worker/load/image/jpeg_facts.hpp"
#include "worker/load/image/picture_decoder.hpp"

namespace mgpu::worker::load {
namespace {

using namespace std::string_view_literals;

// Additional pixels decoded around the window and dropped: libjpeg's chroma interpolation treats the edge of the decoded part as
// the edge of the picture.
constexpr int margin = 2;
constexpr int rows_at_once = 8;
/// A progressive JPEG has about ten scans. Each scan is a pass over all pixels, and a small file can have very many
/// (libjpeg-turbo's advice: "Two issues with the JPEG standard", 2015).
constexpr int most_scans = 500;

/// libjpeg's state of one thread, reused between pictures. Its errors end in longjmp to the last `guarded`, never across C++
/// frames that own something.
class Session {
 public:
  Session() {
    info.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = [](j_common_ptr common) {
      auto* errors = reinterpret_cast<Errors*>(common->err);
      common->err->format_message(common, errors->message);
      std::longjmp(errors->jump, 1);
    };
    errors_.base.output_message = [](j_common_ptr) {}; // warnings are not printed
    jpeg_create_decompress(&info);
    source_.init_source = [](j_decompress_ptr) {};
    source_.term_source = [](j_decompress_ptr) {};
    source_.resync_to_restart = jpeg_resync_to_restart;
    source_.fill_input_buffer = [](j_decompress_ptr decompress) -> boolean { ended(decompress); };
    source_.skip_input_data = [](j_decompress_ptr decompress, long count) {
      if (count <= 0) return;
      if (static_cast<unsigned long>(count) > decompress->src->bytes_in_buffer) ended(decompress);
      decompress->src->next_input_byte += count;
      decompress->src->bytes_in_buffer -= static_cast<std::size_t>(count);
    };
    info.src = &source_;
    progress_.progress_monitor = [](j_common_ptr common) {
      if (reinterpret_cast<j_decompress_ptr>(common)->input_scan_number <= most_scans) return;
      auto* errors = reinterpret_cast<Errors*>(common->err);
      std::snprintf(errors->message, sizeof errors->message, "more than %d scans", most_scans);
      std::longjmp(errors->jump, 1);
    };
    info.progress = &progress_;
    jpeg_save_markers(&info, JPEG_APP0 + 1, 0xffff);
  }
  ~Session() { jpeg_destroy_decompress(&info); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void set_source(std::span<const std::uint8_t> bytes) {
    jpeg_abort_decompress(&info);
    source_.next_input_byte = bytes.data();
    source_.bytes_in_buffer = bytes.size();
  }

  /// Runs libjpeg calls; a libjpeg error becomes an Error. No object with a destructor may be alive across the calls.
  template <typename Calls>
  void guarded(Calls calls) {
    if (setjmp(errors_.jump) != 0) {
      const std::string reason = errors_.message;
      jpeg_abort_decompress(&info);
      throw Error(reason == "truncated" ? "truncated JPEG: the file ends before the picture does" : "corrupt JPEG: " + reason);
    }
    calls();
  }

  jpeg_decompress_struct info{};

 private:
  struct Errors {
    jpeg_error_mgr base;
    std::jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
  };
  [[noreturn]] static void ended(j_decompress_ptr decompress) {
    auto* errors = reinterpret_cast<Errors*>(decompress->err);
    std::strcpy(errors->message, "truncated");
    std::longjmp(errors->jump, 1);
  }
  Errors errors_{};
  jpeg_source_mgr source_{};
  jpeg_progress_mgr progress_{};
};

Session& session() {
  thread_local Session kept;
  return kept;
}

/// Row memory of a thread, reused between pictures. Deliberately not aligned to 32 bytes: on aligned rows libjpeg-turbo writes
/// past the caches, and the rows are read at once.
std::uint8_t* row_memory(std::size_t size_bytes) {
  thread_local std::vector<std::uint8_t> kept;
  if (kept.size() < size_bytes + 64) kept.resize(size_bytes + 64);
  const auto address = reinterpret_cast<std::uintptr_t>(kept.data());
  return kept.data() + (16 - address % 32 + 32) % 32;
}

class JpegDecoder final : public PictureDecoder {
 public:
  JpegDecoder(std::span<const std::uint8_t> bytes, const LoadLimits& limits) : bytes_(bytes), session_(session()) {
    session_.set_source(bytes);
    session_.guarded([&] { jpeg_read_header(&session_.info, TRUE); });
    // For a progressive picture libjpeg keeps the coefficients of all components, 2 bytes each.
    const auto components = static_cast<std::uint64_t>(session_.info.num_components);
    check_size(session_.info.image_width, session_.info.image_height, limits,
               session_.info.progressive_mode != 0 ? 2 * components : 0);
    if (const int parts = session_.info.num_components; parts != 1 && parts != 3 && parts != 4)
      throw Error(fmt::format("JPEG of {} components", parts));
    width_ = static_cast<int>(session_.info.image_width);
    height_ = static_cast<int>(session_.info.image_height);
    read_orientation();
  }

  JpegFacts facts() const {
    const J_COLOR_SPACE colour = session_.info.jpeg_color_space;
    return {.width = width_,
            .height = height_,
            .orientation = orientation_,
            .inks = session_.info.num_components == 4,
            .plain_colour = colour == JCS_GRAYSCALE || colour == JCS_YCbCr,
            .arithmetic = session_.info.arith_code != FALSE,
            .whole = ends_properly()};
  }

  int reduce(int most) override {
    int denominator = 1;
    while (denominator < 8 && denominator * 2 <= most) denominator *= 2;
    session_.info.scale_num = 1;
    session_.info.scale_denom = static_cast<unsigned>(denominator);
    session_.guarded([&] { jpeg_calc_output_dimensions(&session_.info); });
    width_ = static_cast<int>(session_.info.output_width);
    height_ = static_cast<int>(session_.info.output_height);
    return denominator;
  }

  void decode(const Window& window, RowSink& sink) override {
    const bool inks = session_.info.num_components == 4;
    session_.info.out_color_space = inks ? JCS_CMYK : JCS_EXT_RGBX;
    const std::size_t stride = (static_cast<std::size_t>(width_) * 4 + row_slack + 31) / 32 * 32;
    std::uint8_t* memory = row_memory(stride * rows_at_once);
    const bool to_the_end = !ends_properly();
    session_.guarded([&] {
      auto& info = session_.info;
      jpeg_start_decompress(&info);
      const int left = crop_columns(window);
      const int first_row = std::max(0, window.y0 - margin);
      if (first_row > 0) jpeg_skip_scanlines(&info, static_cast<JDIMENSION>(first_row));
      JSAMPROW rows[rows_at_once];
      for (int i = 0; i < rows_at_once; ++i) rows[i] = memory + stride * static_cast<std::size_t>(i);
      const std::size_t offset = static_cast<std::size_t>(window.x0 - left) * 4;
      for (int y = first_row; y < window.y1;) {
        const int got = static_cast<int>(jpeg_read_scanlines(&info, rows, std::min(rows_at_once, window.y1 - y)));
        for (int i = 0; i < got; ++i, ++y) {
          if (y < window.y0) continue;
          if (inks) convert_inks(rows[i] + offset, window.width());
          sink.row(rows[i] + offset);
        }
      }
      // Without an end marker only decoding reveals missing rows, which are an error even outside the window.
      while (to_the_end && info.output_scanline < info.output_height) jpeg_read_scanlines(&info, rows, rows_at_once);
    });
    jpeg_abort_decompress(&session_.info);
  }

 private:
  /// Restricts decoding to the window's columns and margins; returns the first column of the rows.
  int crop_columns(const Window& window) {
    auto left = static_cast<JDIMENSION>(std::max(0, window.x0 - margin));
    JDIMENSION columns = static_cast<JDIMENSION>(std::min(width_, window.x1 + margin)) - left;
    if (columns < session_.info.output_width) jpeg_crop_scanline(&session_.info, &left, &columns);
    return static_cast<int>(left);
  }

  /// CMYK JPEGs are assumed to have Adobe's inverted inks, as in Pillow.
  static void convert_inks(std::uint8_t* pixel, int count) {
    for (int x = 0; x < count; ++x, pixel += 4) put_cmyk(pixel, 255 - pixel[0], 255 - pixel[1], 255 - pixel[2], 255 - pixel[3]);
  }

  /// Whether an end-of-image marker follows the header. FF D9 cannot occur within coded data, so a truncated file has none.
  bool ends_properly() const {
    const std::string_view coded(reinterpret_cast<const char*>(session_.info.src->next_input_byte),
                                 session_.info.src->bytes_in_buffer);
    return coded.rfind("\xff\xd9"sv) != coded.npos;
  }

  void read_orientation() {
    std::span<const std::uint8_t> exif, xmp;
    constexpr auto xmp_name = "http://ns.adobe.com/xap/1.0/\0"sv;
    for (auto marker = session_.info.marker_list; marker != nullptr; marker = marker->next) {
      const std::span<const std::uint8_t> data(marker->data, marker->data_length);
      const std::string_view text(reinterpret_cast<const char*>(data.data()), data.size());
      if (exif.empty() && text.starts_with("Exif\0\0"sv)) exif = data;
      if (xmp.empty() && text.starts_with(xmp_name)) xmp = data;
    }
    orientation_ = orientation_of(exif, xmp);
  }

  std::span<const std::uint8_t> bytes_;
  Session& session_;
};

} // namespace

std::optional<JpegFacts> jpeg_facts(std::span<const std::uint8_t> bytes, const LoadLimits& limits) {
  if (!is_jpeg(bytes)) return std::nullopt;
  return JpegDecoder(bytes, limits).facts();
}

std::unique_ptr<PictureDecoder> open_jpeg(std::span<const std::uint8_t> bytes, const LoadLimits& limits) {
  return std::make_unique<JpegDecoder>(bytes, limits);
}

} // namespace mgpu::worker::load
