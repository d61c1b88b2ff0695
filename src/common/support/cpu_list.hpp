#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mgpu {

/// The numbers of a list in the kernel's format: "0-3,8" is 0 1 2 3 8. Returns the numbers before the first error.
std::vector<std::int32_t> parse_cpu_list(std::string_view text);

/// The same for a file below /sys; empty if it is missing.
std::vector<std::int32_t> read_cpu_list(const std::string& path);

} // namespace mgpu
