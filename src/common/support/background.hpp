#pragma once
// Work that may hang, on a thread of its own: a folder on a server that does not answer must not stop an event loop.
#include <cstddef>
#include <functional>
#include <memory>

namespace mgpu {

class Background {
 public:
  /// `most_bytes`: what may wait to be done.
  explicit Background(std::size_t most_bytes = 16u << 20);
  /// Waits for what is left, at most `leave_s`; then the thread is left behind, with all that its tasks hold.
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  /// Tasks are done in the order given; what they throw is dropped. False, and `task` is not done: `bytes` more would be too much.
  bool post(std::function<void()> task, std::size_t bytes = 0);
  /// Nothing waits or is under way.
  bool idle() const;
  /// True once all is done; waits at most `limit_s`.
  bool drain(double limit_s) const;

  static constexpr double leave_s = 10;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace mgpu
