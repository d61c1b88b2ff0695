#include "common/support/crc32c.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace mgpu {

namespace {

constexpr std::uint32_t polynomial = 0x82F63B78u; // reflected
constexpr std::size_t step_bytes = 8;
using Tables = std::array<std::array<std::uint32_t, 256>, step_bytes>;

/// tables[k][b]: the CRC of byte b followed by k zero bytes, for eight bytes per step.
constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? polynomial : 0);
    tables[0][byte] = crc;
  }
  for (std::size_t k = 1; k < step_bytes; ++k)
    for (std::size_t byte = 0; byte < 256; ++byte)
      tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xFF];
  return tables;
}
constexpr Tables tables = make_tables();

std::uint32_t by_tables(const std::byte* at, std::size_t left, std::uint32_t crc) {
  for (; left >= step_bytes; left -= step_bytes, at += step_bytes) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    word ^= crc;
    crc = 0;
    for (std::size_t k = 0; k < step_bytes; ++k) crc ^= tables[step_bytes - 1 - k][(word >> (8 * k)) & 0xFF];
  }
  for (; left > 0; --left, ++at) crc = (crc >> 8) ^ tables[0][(crc ^ static_cast<std::uint32_t>(*at)) & 0xFF];
  return crc;
}

#if defined(__x86_64__)
/// The processor's instruction: every result row is hashed, so it must cost little compared with the disk.
__attribute__((target("sse4.2"))) std::uint32_t by_instruction(const std::byte* at, std::size_t left, std::uint32_t crc) {
  std::uint64_t wide = crc;
  for (; left >= step_bytes; left -= step_bytes, at += step_bytes) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    wide = _mm_crc32_u64(wide, word);
  }
  crc = static_cast<std::uint32_t>(wide);
  for (; left > 0; --left, ++at) crc = _mm_crc32_u8(crc, static_cast<unsigned char>(*at));
  return crc;
}
#endif

} // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction) return ~by_instruction(bytes.data(), bytes.size(), ~crc);
#endif
  return ~by_tables(bytes.data(), bytes.size(), ~crc);
}

} // namespace mgpu
