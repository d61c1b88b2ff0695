#pragma once
// Computes the model's SHA-256 in the background.
#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "common/support/side_thread.hpp"

namespace mgpu::agent {

class ModelHash {
 public:
  /// Starts to read the model file or bundle folder.
  explicit ModelHash(const std::string& path);
  /// Cancels the read; a thread whose file system does not respond is abandoned.
  ~ModelHash();

  /// The hash; nullopt while it is being computed. Throws Error when the model cannot be read.
  std::optional<std::string> poll();
  /// Waits for the hash. Throws Error; with ExitCode::stopped after `stall_s` without progress (0: no limit).
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
