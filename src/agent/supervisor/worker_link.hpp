#pragma once
// An agent's end of its worker, whatever the worker is: a process, or (in tests and benches) a thread.
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/wire/messages.hpp"

namespace mgpu::agent {

/// A frame of the worker. `owner` keeps `payload` alive; letting it go gives shared memory back to the worker.
using OnWorkerFrame = std::function<void(wire::Type, wire::View payload, const std::shared_ptr<void>& owner)>;

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
  /// How the worker ended ("exit code 1", "killed by signal 9 (Killed)"); nullopt while it lives. "" is a good end.
  virtual std::optional<std::string> ended() = 0;
  virtual void kill() = 0;
};

} // namespace mgpu::agent
