#pragma once
#include <string>
#include <string_view>

namespace mgpu {

/// SHA-256 of a file, or of a folder's files in order of their paths (path and content each), in hex. Throws Error.
std::string sha256_of(const std::string& path);
/// Throws usage_error unless `path` has this SHA-256 (in hex, of either case); "" allows any.
void require_sha256(const std::string& path, std::string_view wanted);
/// SHA-256 of a text, in hex.
std::string sha256_of_text(std::string_view text);

} // namespace mgpu
