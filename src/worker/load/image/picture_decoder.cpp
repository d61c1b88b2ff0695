#include "worker/load/image/picture_decoder.hpp"

#include <fmt/format.h>

#include <cstring>
#include <string_view>

#include "mgpu/error.hpp"
#include "worker/load/file_bytes.hpp"

namespace mgpu::worker::load {

void check_memory(std::string_view what, std::uint64_t bytes, const LoadLimits& limits) {
  if (bytes > limits.memory_bytes)
    throw Error(fmt::format("{} takes {} bytes of memory, limit {}", what, bytes, limits.memory_bytes));
}

void check_size(std::uint64_t width, std::uint64_t height, const LoadLimits& limits, std::uint64_t bytes_a_pixel) {
  if (width == 0 || height == 0) throw Error(fmt::format("{}x{} pixels: an empty picture", width, height));
  if (width > limits.pixels / height) throw Error(fmt::format("{}x{} pixels, limit {}", width, height, limits.pixels));
  if (bytes_a_pixel > 0)
    check_memory(fmt::format("a picture of {}x{} pixels", width, height), width * height * bytes_a_pixel, limits);
}

ZeroBytes zero_bytes(std::size_t size) {
  auto* bytes = static_cast<std::uint8_t*>(std::calloc(size, 1));
  if (bytes != nullptr) return ZeroBytes(bytes);
  Error error(fmt::format("no {} bytes of memory for its pixels", size));
  error.cause = Cause::memory;
  throw error;
}

bool is_jpeg(std::span<const std::uint8_t> bytes) {
  return bytes.size() >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff;
}

std::unique_ptr<PictureDecoder> open_picture(std::span<const std::uint8_t> bytes, const LoadLimits& limits) {
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 16));
  using namespace std::string_view_literals;
  if (is_jpeg(bytes)) return open_jpeg(bytes, limits);
  if (start.starts_with("\x89PNG\r\n\x1a\n"sv)) return open_png(bytes, limits);
  if (start.starts_with("RIFF"sv) && start.substr(std::min<std::size_t>(8, start.size())).starts_with("WEBP"sv))
    return open_webp(bytes, limits);
  if (start.starts_with("GIF87a"sv) || start.starts_with("GIF89a"sv)) return open_gif(bytes, limits);
  if (start.starts_with("II*\0"sv) || start.starts_with("MM\0*"sv) || start.starts_with("II+\0"sv) ||
      start.starts_with("MM\0+"sv))
    return open_tiff(bytes, limits);
  if (start.starts_with("BM"sv) && bytes.size() >= 26) return open_bmp(bytes, limits);
  throw Error("not a picture: " + quoted_start(bytes) + ", which is no JPEG, PNG, WebP, TIFF, GIF or BMP");
}

PixelBuffer::PixelBuffer(int width, int height)
    : stride_(static_cast<std::size_t>(width) * 4), bytes_(zero_bytes(stride_ * static_cast<std::size_t>(height) + row_slack)) {}

void PixelBuffer::emit(const Window& window, RowSink& sink) {
  for (int y = window.y0; y < window.y1; ++y) sink.row(row(y) + static_cast<std::size_t>(window.x0) * 4);
}

} // namespace mgpu::worker::load
