#include "agent/gpu_health/gpu_monitor.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "agent/gpu_health/nvml.hpp"
#include "common/support/clock.hpp"

namespace mgpu::agent::gpu_health {

namespace {
constexpr double xids_every_s = 0.5;
/// Seen and not taken: the owner is stopped. Older samples go, no Xid does.
constexpr std::size_t most_waiting = 64;
/// A thread that sleeps is there at once.
constexpr auto leave_limit = std::chrono::milliseconds(200);
} // namespace

struct GpuMonitor::State {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Observation> seen; ///< guarded by mutex, as are the next three
  std::uint64_t calls = 0;
  bool in_call = false, ending = false, over = false;

  /// Runs `work`, which may hang; false when the monitor is to end.
  template <typename Work>
  bool call(const Work& work) {
    {
      const std::lock_guard lock(mutex);
      if (ending) return false;
      ++calls;
      in_call = true;
    }
    work();
    const std::lock_guard lock(mutex);
    in_call = false;
    return !ending;
  }

  void put(Observation observation) {
    const std::lock_guard lock(mutex);
    if (seen.size() == most_waiting) {
      Observation& next = seen[1];
      next.xids.insert(next.xids.begin(), seen[0].xids.begin(), seen[0].xids.end());
      if (next.lost.empty()) next.lost = seen[0].lost;
      seen.erase(seen.begin());
    }
    seen.push_back(std::move(observation));
  }

  void run(const OpenProbe& open, double interval_s) {
    std::unique_ptr<GpuProbe> probe;
    if (!call([&] { probe = open(); }) || probe == nullptr) return;
    for (double due_s = now_s();;) {
      Observation observation;
      const bool due = now_s() >= due_s;
      if (!call([&] { observation.xids = probe->take_xids(); })) return;
      if (!observation.xids.empty()) put(std::exchange(observation, {})); // at once: the next call may hang of it
      if (due && !call([&] { observation.sample = probe->sample(observation.lost); })) return;
      const double now = now_s();
      if (due) {
        due_s = std::max(due_s + interval_s, now); // what was missed in a call that hung is not made up for
        put(std::move(observation));
      }
      std::unique_lock lock(mutex);
      changed.wait_for(lock, std::chrono::duration<double>(std::clamp(due_s - now, 0.001, xids_every_s)),
                       [this] { return ending; });
      if (ending) return;
    }
  }
};

GpuMonitor::GpuMonitor(OpenProbe open, double interval_s) : state_(std::make_shared<State>()) {
  auto counted = std::make_shared<NvmlThread>();
  std::thread([state = state_, open = std::move(open), interval_s, counted = std::move(counted)]() mutable {
    state->run(open, interval_s);
    open = nullptr;
    counted.reset();
    const std::lock_guard lock(state->mutex);
    state->over = true;
    state->changed.notify_all();
  }).detach();
}

GpuMonitor::~GpuMonitor() {
  std::unique_lock lock(state_->mutex);
  state_->ending = true;
  state_->changed.notify_all();
  if (state_->in_call) return;
  state_->changed.wait_for(lock, leave_limit, [this] { return state_->over; });
}

std::vector<Observation> GpuMonitor::take() {
  const std::lock_guard lock(state_->mutex);
  return std::exchange(state_->seen, {});
}

std::uint64_t GpuMonitor::open_call() const {
  const std::lock_guard lock(state_->mutex);
  return state_->in_call ? state_->calls : 0;
}

} // namespace mgpu::agent::gpu_health
