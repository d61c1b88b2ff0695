#pragma once
#include <cstdint>

namespace mgpu {

/// The files of a folder that are items, by their extension.
enum class Media : std::uint8_t { any, images, audio };

} // namespace mgpu
