#pragma once
#include <sys/types.h>

#include <string>

#include "agent/worker_link.hpp"
#include "wire/channel.hpp"
#include "wire/ring.hpp"

namespace mgpu::agent {

/// The worker as a child process. It inherits two descriptors, its socket and the ring, and the standard streams; nothing else.
class WorkerProcess final : public WorkerLink {
 public:
  /// Starts `program`. `ring_bytes`: shared memory for results. Throws Error when it cannot be started.
  WorkerProcess(const std::string& program, std::size_t ring_bytes);
  /// Kills the process if it still lives, and reaps it.
  ~WorkerProcess() override;

  void post(wire::Type type, wire::View payload) override;
  void flush() override;
  bool poll(const OnWorkerFrame& handle) override;
  void wait(std::chrono::microseconds timeout) override;
  std::optional<std::string> ended() override;
  void kill() override;
  pid_t pid() const { return pid_; }

  /// mgpu_worker beside the running program (or what MGPU_WORKER names).
  static std::string find_program();

 private:
  WorkerProcess(const std::string& program, std::size_t ring_bytes, std::pair<int, int> ends);

  // Shared with the owners of result blocks, which may outlive this object by a little (the writer's queue).
  struct Shared;
  std::shared_ptr<Shared> shared_;
  pid_t pid_ = -1;
  std::optional<std::string> end_;
};

} // namespace mgpu::agent
