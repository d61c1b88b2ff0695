#pragma once
#include <cstdint>

namespace mgpu {

/// Which files of a folder are items.
enum class Media : std::uint8_t { any, images, audio };

} // namespace mgpu
