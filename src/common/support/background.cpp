#include "common/support/background.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace mgpu {

namespace {
struct Task {
  std::function<void()> work;
  std::size_t bytes = 0;
};
} // namespace

struct Background::State {
  explicit State(std::size_t most) : most_bytes(most) {}

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return ending || !tasks.empty(); });
      if (tasks.empty()) return;
      Task task = std::move(tasks.front());
      tasks.pop_front();
      lock.unlock();
      try {
        task.work();
      } catch (...) { // tasks report their own errors
      }
      task.work = nullptr;
      lock.lock();
      bytes -= task.bytes;
      --open;
      changed.notify_all();
    }
  }

  const std::size_t most_bytes;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Task> tasks;          ///< guarded by mutex, as are the next three
  std::size_t bytes = 0, open = 0; ///< of queued and running tasks
  bool ending = false, began = false;
};

Background::Background(std::size_t most_bytes) : state_(std::make_shared<State>(most_bytes)) {}

Background::~Background() {
  drain(leave_s);
  const std::lock_guard lock(state_->mutex);
  state_->ending = true;
  state_->changed.notify_all();
}

bool Background::post(std::function<void()> task, std::size_t bytes) {
  const std::lock_guard lock(state_->mutex);
  if (state_->open > 0 && state_->bytes + bytes > state_->most_bytes) return false;
  state_->tasks.push_back({std::move(task), bytes});
  state_->bytes += bytes;
  ++state_->open;
  if (!std::exchange(state_->began, true)) std::thread([state = state_] { state->run(); }).detach();
  state_->changed.notify_all();
  return true;
}

bool Background::idle() const {
  const std::lock_guard lock(state_->mutex);
  return state_->open == 0;
}

bool Background::drain(double limit_s) const {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, std::chrono::duration<double>(limit_s), [this] { return state_->open == 0; });
}

} // namespace mgpu
