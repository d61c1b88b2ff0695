#pragma once
// Runs work that may hang on its own thread: a file server that does not respond must not block an event loop.
#include <cstddef>
#include <functional>
#include <memory>

namespace mgpu {

class Background {
 public:
  /// `most_bytes`: limit of queued bytes.
  explicit Background(std::size_t most_bytes = 16u << 20);
  /// Waits for the remaining tasks, at most `leave_s`; then abandons the thread, with everything that its tasks hold.
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  /// Tasks run in the order given; their exceptions are dropped. False if `bytes` would exceed the limit: `task` is then dropped.
  bool post(std::function<void()> task, std::size_t bytes = 0);
  /// No task is queued or running.
  bool idle() const;
  /// Waits until all tasks are done, at most `limit_s`; whether they are.
  bool drain(double limit_s) const;

  static constexpr double leave_s = 10;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace mgpu
