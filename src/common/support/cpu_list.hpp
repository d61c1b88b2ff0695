#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mgpu {

/// The numbers of a list as the kernel writes them: "0-3,8" is 0 1 2 3 8. What is not such a list gives what was read of it so far.
std::vector<std::int32_t> parse_cpu_list(std::string_view text);

/// The same of a file below /sys; empty where there is none.
std::vector<std::int32_t> read_cpu_list(const std::string& path);

} // namespace mgpu
