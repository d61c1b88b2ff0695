#pragma once
#include <string>
#include <string_view>

namespace mgpu {

/// SHA-256 of a file, or of a folder's files in order of their paths (path and content each), in hex. Throws Error.
std::string sha256_of(const std::string& path);
/// SHA-256 of a text, in hex.
std::string sha256_of_text(std::string_view text);

} // namespace mgpu
