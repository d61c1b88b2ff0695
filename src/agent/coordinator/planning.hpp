#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <string_view>

namespace mgpu::agent {

/// The plan of a run, made on a thread of its own: reading a long journal or a large model must not delay the heartbeats.
class Planning {
 public:
  /// `plan` calls reading().
  void begin(std::function<void()> plan, double now);
  /// The progress of a long read, in bytes; for the plan's thread. Throws Error when the run was called off.
  void reading(std::string_view what, std::uint64_t done, std::uint64_t total);
  /// True once the plan is made. Throws what it threw. `show`: prints a long read's progress from time to time.
  bool poll(double now, bool show);
  /// The run must not start; waits for the thread.
  void call_off();

 private:
  struct Reading {
    std::string what;
    std::uint64_t done = 0, total = 0;
  };
  std::mutex mutex_;
  Reading reading_; ///< guarded by mutex_
  std::atomic<bool> called_off_{false};
  double shown_s_ = 0;
  std::future<void> plan_; ///< last: its destructor waits for the thread, which uses the others
};

} // namespace mgpu::agent
