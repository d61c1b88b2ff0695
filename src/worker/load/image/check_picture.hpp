#pragma once
#include <string_view>

#include "mgpu/picture.hpp"

namespace mgpu::worker::load {

/// Throws Error if the picture is empty, its pixels do not have its size, or a side is longer than `longest`; `what` names the
/// format ("a JPEG").
void check_picture(const Picture& picture, std::string_view what, int longest);

/// Throws usage_error if a quality is not from 1 to 100.
void check_quality(int quality, std::string_view what);

} // namespace mgpu::worker::load
