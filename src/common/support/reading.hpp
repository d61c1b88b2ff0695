#pragma once
#include <cstdint>
#include <functional>
#include <string_view>

namespace mgpu {

/// Told again and again how far a long reading is: of what, bytes done, bytes in all. May throw, which ends the reading.
using OnReading = std::function<void(std::string_view what, std::uint64_t done, std::uint64_t total)>;

} // namespace mgpu
