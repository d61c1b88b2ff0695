#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mgpu/item.hpp"

namespace mgpu::worker::load {

/// Contents of an item: its shipped bytes, or its file read into `buffer` (reused from call to call).
/// The span stays valid until `buffer` or `item` changes. Throws Error with the reason: "no such file", "a folder, not a file",
/// "permission denied", "empty file", "N bytes, limit M".
std::span<const std::uint8_t> contents_of(const Item& item, std::uint64_t limit_bytes, std::vector<std::uint8_t>& buffer);

/// The first bytes of a file, quoted for a reason: printable text, or hexadecimal.
std::string quoted_start(std::span<const std::uint8_t> bytes);

/// Throws Error with the reason, as contents_of() would, unless the item is a regular non-empty file (or shipped bytes).
void require_readable(const Item& item, std::uint64_t limit_bytes);

} // namespace mgpu::worker::load
