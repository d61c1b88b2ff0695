#pragma once
// An agent's end of its worker, whatever the worker is: a process, or (in tests and benches) a thread.
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/wire/message.hpp"

namespace mgpu::agent {

/// A frame of the worker. `owner` keeps `payload` alive; letting it go gives shared memory back to the worker.
using OnWorkerFrame = std::function<void(wire::Type, wire::View payload, const std::shared_ptr<void>& owner)>;

/// How a worker ended.
struct WorkerEnd {
  std::string text; ///< "exit code 1", "killed by signal 9 (Killed)"; "": a good end
  int signal = 0;   ///< that ended it; 0: it exited by itself
  bool good() const { return text.empty(); }
};

class WorkerLink {
 public:
  virtual ~WorkerLink() = default;
  /// Queues a frame for the worker; flush() hands it over. Neither waits.
  virtual void post(wire::Type type, wire::View payload = {}) = 0;
  virtual void flush() = 0;
  /// Hands over each frame that has arrived; true if there was any.
  virtual bool poll(const OnWorkerFrame& handle) = 0;
  /// Sleeps until the worker says something, at most `timeout`.
  virtual void wait(std::chrono::microseconds timeout) = 0;
  /// nullopt while it lives.
  virtual std::optional<WorkerEnd> ended() = 0;
  virtual void kill() = 0;
};

} // namespace mgpu::agent
