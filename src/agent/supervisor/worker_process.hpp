#pragma once
#include <sys/types.h>

#include <string>

#include "agent/supervisor/memory_events.hpp"
#include "agent/supervisor/supervisor.hpp"
#include "agent/supervisor/worker_starter.hpp"
#include "common/support/child_process.hpp"
#include "common/support/temporary_folder.hpp"
#include "common/wire/channel.hpp"
#include "common/wire/ring.hpp"

namespace mgpu::agent {

/// The worker as a child process. It inherits its socket, the ring, the activity table and the standard streams, nothing else.
/// Its standard error is forwarded by this object. Its TMPDIR is a folder of its own: files that libraries leave there, or in
/// folders made elsewhere by mkdtemp (LibTorch unpacks a .pt2), are removed with it, even if the worker was killed.
class WorkerProcess final : public LocalWorker {
 public:
  /// Starts the process. `ring_bytes`: shared memory for results. Throws Error when it cannot be started.
  WorkerProcess(WorkerStarter& starter, std::size_t ring_bytes);
  /// As end().
  ~WorkerProcess() override;

  void post(wire::Type type, wire::View payload) override;
  void flush() override;
  bool poll(const OnWorkerFrame& handle) override;
  void wait(std::chrono::microseconds timeout) override;
  std::optional<WorkerEnd> ended() override;
  void kill() override;
  const wire::ActivityTable& activity_table() const override;
  ProcessUsage usage() const override { return usage_of(pid()); }
  std::string last_words() const override { return last_words_; }
  /// Kills the process if it still runs, reaps it (a process stuck in its driver is abandoned) and removes its temporary folder.
  /// For a process that exits by _exit.
  void end();
  pid_t pid() const { return process_->pid(); }

  /// mgpu_worker in the folder of the running program, or the value of MGPU_WORKER.
  static std::string find_program();

 private:
  WorkerProcess(WorkerStarter& starter, std::size_t ring_bytes, std::pair<int, int> ends);
  void pass_on_errors();

  // Shared with the owners of result blocks, which may outlive this object for a short time (the writer's queue).
  struct Shared;
  std::shared_ptr<Shared> shared_;
  TemporaryFolder temporary_;
  std::optional<MemoryEvents> memory_before_ = read_memory_events();
  std::optional<ChildProcess> process_; ///< set once the process is started
  int errors_ = -1;                     ///< pipe of the worker's standard error
  double read_errors_s_ = 0;
  std::string last_words_;
  std::optional<WorkerEnd> end_;
};

} // namespace mgpu::agent
