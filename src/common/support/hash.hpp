#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "common/support/reading.hpp"

namespace mgpu {

/// SHA-256 of a file, or of a folder's files, links followed, in order of their paths (path, size and content each), in hex.
/// Throws Error, also for a folder that contains itself.
std::string sha256_of(const std::string& path, const OnReading& on_reading = {});
/// Throws usage_error unless `path` has this SHA-256 (in hex, of either case); "" allows any.
void require_sha256(const std::string& path, std::string_view wanted);
/// A text from size and modification time of a file, or of every file of a folder: changes with the contents, without reading
/// them. Throws Error.
std::string state_of(const std::string& path);

/// SHA-256 of texts, piece by piece.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  /// Adds a text and its length, so that different lists of texts differ.
  void add(std::string_view text);
  /// Returns the hash in hex; call it once, at the end.
  std::string hex();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// SHA-256 of a text, in hex.
std::string sha256_of_text(std::string_view text);

} // namespace mgpu
