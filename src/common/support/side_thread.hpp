#pragma once
// One piece of work that may hang, on a thread of its own, of which can be told whether it stands still.
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

namespace mgpu {

class SideThread {
 public:
  /// Begins `work`, which must not throw.
  explicit SideThread(std::function<void()> work);
  /// Where it is not done the thread is left behind, with all that `work` holds: the process must then leave by _exit, or hold nothing
  /// that the thread may use.
  ~SideThread();
  SideThread(const SideThread&) = delete;
  SideThread& operator=(const SideThread&) = delete;

  /// Waits at most so long; whether it is done.
  bool done(std::chrono::milliseconds wait = std::chrono::milliseconds(0)) const;
  /// Seconds for which the thread has had nothing of a processor, as far as calls of this function can tell: whatever goes on, be it a slow
  /// read, costs it some.
  double still_s();

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::thread thread_;
  long used_ns_ = -1;
  double moved_s_;
};

} // namespace mgpu
