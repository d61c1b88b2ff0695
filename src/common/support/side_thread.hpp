#pragma once
// Runs work that may hang on its own thread, and detects whether it makes progress.
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

namespace mgpu {

class SideThread {
 public:
  /// Starts `work`, which must not throw.
  explicit SideThread(std::function<void()> work);
  /// Abandons a thread that is not done, with everything that `work` holds: the process must then exit by _exit, or own nothing
  /// that the thread may use.
  ~SideThread();
  SideThread(const SideThread&) = delete;
  SideThread& operator=(const SideThread&) = delete;

  /// Waits at most `wait`; whether the work is done.
  bool done(std::chrono::milliseconds wait = std::chrono::milliseconds(0)) const;
  /// Seconds since the thread last used processor time, as far as calls of this function can tell: any progress, even a slow
  /// read, uses some.
  double still_s();

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::thread thread_;
  long used_ns_ = -1;
  double moved_s_;
};

} // namespace mgpu
