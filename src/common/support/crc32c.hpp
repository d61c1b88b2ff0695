#pragma once
#include <cstddef>
#include <cstdint>

#include <span>

namespace mgpu {

/// CRC-32C (Castagnoli, RFC 3720), continued from `crc` (0 at the start).
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc = 0);

} // namespace mgpu
