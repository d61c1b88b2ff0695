#pragma once
// An agent's connection to its worker: a process, or a thread in tests and benchmarks.
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/wire/message.hpp"

namespace mgpu::agent {

/// A frame of the worker. `payload` is valid while `owner` is held; releasing it returns shared memory to the worker.
using OnWorkerFrame = std::function<void(wire::Type, wire::View payload, const std::shared_ptr<void>& owner)>;

/// How a worker ended.
struct WorkerEnd {
  std::string text; ///< "exit code 1", "killed by signal 9 (Killed)"; "" for a good end
  int signal = 0;   ///< signal that ended it; 0: it exited
  bool good() const { return text.empty(); }
};

class WorkerLink {
 public:
  virtual ~WorkerLink() = default;
  /// Queues a frame for the worker; flush() sends it. Neither waits.
  virtual void post(wire::Type type, wire::View payload = {}) = 0;
  virtual void flush() = 0;
  /// Calls `handle` for each frame that has arrived; true if there was any.
  virtual bool poll(const OnWorkerFrame& handle) = 0;
  /// Sleeps until the worker sends something, at most `timeout`.
  virtual void wait(std::chrono::microseconds timeout) = 0;
  /// nullopt while it runs.
  virtual std::optional<WorkerEnd> ended() = 0;
  virtual void kill() = 0;
};

} // namespace mgpu::agent
