#pragma once
// The model's SHA-256, made beside the work.
#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "common/support/side_thread.hpp"

namespace mgpu::agent {

class ModelHash {
 public:
  /// Begins to read the model file or bundle folder.
  explicit ModelHash(const std::string& path);
  /// Calls the reading off; where its file system does not answer it is left behind.
  ~ModelHash();

  /// The hash, once it is known. Throws Error where the model could not be read.
  std::optional<std::string> poll();
  /// Waits for it. Throws Error, ExitCode::stopped where nothing moves for `stall_s` (0: for ever).
  std::string wait(double stall_s);

 private:
  struct Reading {
    std::atomic<bool> called_off{false};
    std::string hex, error;
  };
  std::shared_ptr<Reading> reading_ = std::make_shared<Reading>();
  std::string path_;
  SideThread thread_;
};

} // namespace mgpu::agent
