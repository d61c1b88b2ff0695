#pragma once
#include <string_view>

namespace mgpu {

/// Version of the project; CMakeLists.txt reads it from here.
inline constexpr std::string_view version = "0.1.0";

} // namespace mgpu
