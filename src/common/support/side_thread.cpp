#include "common/support/side_thread.hpp"

#include <pthread.h>
#include <time.h>

#include <condition_variable>
#include <mutex>

#include "common/support/clock.hpp"

namespace mgpu {

struct SideThread::State {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
};

SideThread::SideThread(std::function<void()> work)
    : state_(std::make_shared<State>()),
      thread_([state = state_, work = std::move(work)]() mutable {
        work();
        work = nullptr; // releases its captures before it is reported as done
        const std::lock_guard lock(state->mutex);
        state->done = true;
        state->changed.notify_all();
      }),
      moved_s_(now_s()) {}

SideThread::~SideThread() {
  if (done())
    thread_.join();
  else
    thread_.detach();
}

bool SideThread::done(std::chrono::milliseconds wait) const {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, wait, [this] { return state_->done; });
}

double SideThread::still_s() {
  const double now = now_s();
  constexpr long second_ns = 1'000'000'000;
  clockid_t clock{};
  timespec used{};
  const bool known =
      !done() && ::pthread_getcpuclockid(thread_.native_handle(), &clock) == 0 && ::clock_gettime(clock, &used) == 0;
  const long used_ns = known ? used.tv_sec * second_ns + used.tv_nsec : -1;
  if (!known || used_ns != used_ns_) moved_s_ = now;
  used_ns_ = used_ns;
  return now - moved_s_;
}

} // namespace mgpu
