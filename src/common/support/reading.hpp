#pragma once
#include <cstdint>
#include <functional>
#include <string_view>

namespace mgpu {

/// Called repeatedly during a long read: its name, bytes done, bytes in total. May throw, which ends the read.
using OnReading = std::function<void(std::string_view what, std::uint64_t done, std::uint64_t total)>;

} // namespace mgpu
