#pragma once
// What a rank finds out about its own node for `doctor`.
#include <string>

#include "common/wire/control_messages.hpp"

namespace mgpu::agent::doctor {

/// A file with a random name and text in `folder`, there as long as this object. Throws usage_error when it cannot be written.
class Token {
 public:
  explicit Token(const std::string& folder);
  ~Token();
  Token(const Token&) = delete;
  Token& operator=(const Token&) = delete;
  const std::string& path() const { return path_; }
  const std::string& text() const { return text_; }

 private:
  std::string path_, text_;
};

/// Answers rank 0's question. Waits some seconds at most for a token that a shared file system shows late; a file system that does not
/// answer at all is for the caller to give up.
wire::Surveyed survey(const wire::Survey& asked);

} // namespace mgpu::agent::doctor
