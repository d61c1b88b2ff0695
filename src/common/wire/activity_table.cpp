#include "common/wire/activity_table.hpp"

#include <algorithm>

#include "mgpu/error.hpp"

namespace mgpu::wire {

namespace {
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<double>::is_always_lock_free,
              "slots are shared between processes, and written in a signal handler");
thread_local ActivitySlot* current = nullptr;
constexpr auto relaxed = std::memory_order_relaxed, acquire = std::memory_order_acquire, release = std::memory_order_release;
} // namespace

// A sequence lock (Boehm 2012, "Can seqlocks get along with programming language memory models?"): readers retry when the version
// was odd or has changed. Release stores and acquire loads replace the paper's fences, which the thread sanitizer does not
// support.
void ActivitySlot::begin(Doing doing, std::uint64_t batch, std::uint64_t first, std::uint32_t rows, double now_s) {
  const std::uint64_t version = version_.load(relaxed);
  version_.store(version + 1, relaxed);
  batch_.store(batch, release);
  first_.store(first, release);
  rows_.store(rows, release);
  since_s_.store(now_s, release);
  doing_.store(static_cast<std::uint32_t>(doing), release);
  version_.store(version + 2, release);
}

void ActivitySlot::end() {
  doing_.store(static_cast<std::uint32_t>(Doing::nothing), release);
}

std::optional<Activity> ActivitySlot::read() const {
  constexpr int tries = 100;
  Activity activity;
  bool whole = false;
  for (int i = 0; i < tries && !whole; ++i) {
    const std::uint64_t before = version_.load(acquire);
    activity.doing = static_cast<Doing>(doing_.load(acquire));
    activity.batch = batch_.load(acquire);
    activity.first = first_.load(acquire);
    activity.rows = rows_.load(acquire);
    activity.since_s = since_s_.load(acquire);
    whole = before % 2 == 0 && version_.load(relaxed) == before;
  }
  // Inconsistent: the thread changes items quickly, or the worker died during these stores. Such an activity charges no item.
  if (!whole || activity.doing == Doing::nothing) return std::nullopt;
  return activity;
}

ActivityTable& ActivityTable::in(SharedMemory& memory) {
  if (memory.size() < size_bytes()) throw Error("the memory of a activity table is too small");
  return *reinterpret_cast<ActivityTable*>(memory.data());
}

std::vector<Activity> ActivityTable::read() const {
  std::vector<Activity> activities;
  for (const ActivitySlot& slot : slots_)
    if (const auto activity = slot.read()) activities.push_back(*activity);
  return activities;
}

void ActivityTable::enter(ActivitySlot* slot) {
  current = slot;
}

void ActivityTable::note_crash(int signal) noexcept {
  std::int32_t none = 0;
  if (!signal_.compare_exchange_strong(none, signal)) return;
  if (current != nullptr && current >= slots_ && current < slots_ + slot_count)
    crashed_.store(static_cast<std::int32_t>(current - slots_) + 1);
}

void ActivityTable::note_final_words(std::string_view text, std::uint8_t device) noexcept {
  std::uint32_t none = 0;
  if (!words_state_.compare_exchange_strong(none, 1)) return;
  text = text.substr(0, most_words);
  std::copy(text.begin(), text.end(), words_);
  words_size_ = static_cast<std::uint32_t>(text.size());
  words_device_ = device;
  words_state_.store(2, release);
}

std::optional<FinalWords> ActivityTable::final_words() const {
  if (words_state_.load(acquire) != 2) return std::nullopt;
  return FinalWords{{words_, std::min<std::size_t>(words_size_, most_words)}, words_device_};
}

std::optional<Crash> ActivityTable::crash() const {
  const int signal = signal_.load();
  if (signal == 0) return std::nullopt;
  Crash crash{signal, std::nullopt};
  if (const std::int32_t slot = crashed_.load(); slot > 0) crash.activity = slots_[slot - 1].read();
  return crash;
}

} // namespace mgpu::wire
