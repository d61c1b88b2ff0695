#include "worker/load/image/exif.hpp"

#include <algorithm>
#include <optional>
#include <string_view>

namespace mgpu::worker::load {
namespace {

using namespace std::string_view_literals;

std::string_view text_of(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Numbers of a TIFF block in its own byte order; 0 beyond its end.
struct TiffBlock {
  std::span<const std::uint8_t> bytes;
  bool big_endian;

  std::uint32_t number(std::size_t at, int size) const {
    if (at > bytes.size() || bytes.size() - at < static_cast<std::size_t>(size)) return 0;
    std::uint32_t value = 0;
    for (int i = 0; i < size; ++i) value = value << 8 | bytes[at + (big_endian ? i : size - 1 - i)];
    return value;
  }
};

std::optional<int> from_exif(std::span<const std::uint8_t> exif) {
  if (text_of(exif).starts_with("Exif\0\0"sv)) exif = exif.subspan(6);
  const std::string_view start = text_of(exif);
  const bool big_endian = start.starts_with("MM\0*"sv);
  if (!big_endian && !start.starts_with("II*\0"sv)) return std::nullopt;
  const TiffBlock block{exif, big_endian};
  const std::size_t directory = block.number(4, 4);
  const std::uint32_t entries = block.number(directory, 2);
  constexpr std::uint32_t orientation_tag = 0x0112, type_byte = 1, type_short = 3, type_long = 4;
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + std::size_t{i} * 12;
    if (entry + 12 > exif.size()) break;
    if (block.number(entry, 2) != orientation_tag) continue;
    const std::uint32_t type = block.number(entry + 2, 2);
    if (type == type_short) return static_cast<int>(block.number(entry + 8, 2));
    if (type == type_long) return static_cast<int>(block.number(entry + 8, 4));
    if (type == type_byte) return static_cast<int>(block.number(entry + 8, 1));
    return std::nullopt;
  }
  return std::nullopt;
}

std::optional<int> from_xmp(std::string_view xmp) {
  constexpr auto key = "tiff:Orientation"sv;
  for (std::size_t at = xmp.find(key); at != xmp.npos; at = xmp.find(key, at + 1)) {
    std::string_view rest = xmp.substr(at + key.size());
    if (rest.starts_with("=\""sv))
      rest.remove_prefix(2);
    else if (rest.starts_with(">"sv))
      rest.remove_prefix(1);
    else
      continue;
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return rest[0] - '0';
  }
  return std::nullopt;
}

} // namespace

int orientation_of(std::span<const std::uint8_t> exif, std::span<const std::uint8_t> xmp) {
  auto value = from_exif(exif);
  if (!value) value = from_xmp(text_of(xmp));
  return value && *value >= 1 && *value <= 8 ? *value : 1;
}

} // namespace mgpu::worker::load
