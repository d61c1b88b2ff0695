#pragma once
#include <string>

namespace mgpu {

/// SHA-256 of a file, or of a folder's files in order of their paths (path and content each), in hex. Throws Error.
std::string sha256_of(const std::string& path);

} // namespace mgpu
