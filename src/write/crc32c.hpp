#pragma once
#include <cstdint>

#include "wire/bytes.hpp"

namespace mgpu::write {

/// CRC-32C (Castagnoli, RFC 3720), continued from `crc` (0 to begin).
std::uint32_t crc32c(wire::View bytes, std::uint32_t crc = 0);

} // namespace mgpu::write
