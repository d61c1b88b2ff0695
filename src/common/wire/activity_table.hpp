#pragma once
// The current activities of a worker's threads, in memory shared with its agent: when the worker dies or is late, the agent knows
// which items it was processing, and charges no others.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/wire/ring.hpp"

namespace mgpu::wire {

enum class Doing : std::uint32_t {
  nothing = 0,
  preparing,
  preparing_validation,
  running,
  collecting, ///< collates rows of different length into one tensor
  encoding,   ///< writes results for the agent
};

/// Rows [first, first + rows) of the item list, of batch `batch`.
struct Activity {
  Doing doing = Doing::nothing;
  std::uint64_t batch = 0, first = 0;
  std::uint32_t rows = 0;
  double since_s = 0; ///< start, on the clock of now_s(), which all processes of a machine share
};

/// The activity of one thread. Written by that thread alone, with a few plain stores per item; read by the agent at any time.
class ActivitySlot {
 public:
  void begin(Doing doing, std::uint64_t batch, std::uint64_t first, std::uint32_t rows, double now_s);
  void end();
  /// nullopt while the thread processes no item.
  std::optional<Activity> read() const;

 private:
  std::atomic<std::uint64_t> version_; ///< odd while it is being written
  std::atomic<std::uint64_t> batch_, first_;
  std::atomic<std::uint32_t> rows_, doing_;
  std::atomic<double> since_s_;
};

/// A crash of the worker, recorded by its signal handler.
struct Crash {
  int signal = 0;
  std::optional<Activity> activity; ///< of the thread that crashed; nullopt: it processed no item
};

/// The reason of a worker that ended before it could send a message.
struct FinalWords {
  std::string text;
  std::uint8_t device = 0; ///< DeviceTrouble (control_messages.hpp)
};

/// The slots of all threads of a worker. Zeroed memory is an empty table.
class ActivityTable {
 public:
  static constexpr std::size_t slot_count = 256;
  static constexpr std::size_t run_slots = 2; ///< the first slots: for running batches, in turn
  static constexpr std::size_t size_bytes();

  /// The table in `memory`, of at least size_bytes().
  static ActivityTable& in(SharedMemory& memory);

  ActivitySlot& slot(std::size_t index) { return slots_[index % slot_count]; }
  /// Activities of all slots.
  std::vector<Activity> read() const;
  /// Assigns `slot` to the calling thread: a crash of the thread is attributed to it. nullptr: none.
  static void enter(ActivitySlot* slot);
  /// For a signal handler: records the signal and the calling thread's slot. Only the first crash is kept.
  void note_crash(int signal) noexcept;
  std::optional<Crash> crash() const;
  /// Before an end without a message: only the first text is kept; it is truncated to most_words.
  void note_final_words(std::string_view text, std::uint8_t device) noexcept;
  std::optional<FinalWords> final_words() const;

  /// The median time to run a batch, or to prepare an item, so far; 0: none.
  void note_typical(Doing doing, double seconds) { typical_of(doing).store(seconds, std::memory_order_relaxed); }
  double typical_s(Doing doing) const {
    return (doing == Doing::preparing ? typical_item_s_ : typical_batch_s_).load(std::memory_order_relaxed);
  }

  /// Counts the signs of life of the worker's main thread.
  void beat() { pulse_.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t pulse() const { return pulse_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double>& typical_of(Doing doing) { return doing == Doing::preparing ? typical_item_s_ : typical_batch_s_; }

  ActivitySlot slots_[slot_count];
  std::atomic<std::uint64_t> pulse_;
  std::atomic<std::int32_t> signal_;             ///< 0: no crash
  std::atomic<std::int32_t> crashed_;            ///< slot + 1; 0: none
  static constexpr std::size_t most_words = 500; ///< bytes
  std::atomic<std::uint32_t> words_state_;       ///< 0: none, 1: being written, 2: complete
  std::uint32_t words_size_;
  std::uint8_t words_device_;
  char words_[most_words];
  std::atomic<double> typical_item_s_, typical_batch_s_;
};

constexpr std::size_t ActivityTable::size_bytes() {
  return sizeof(ActivityTable);
}

} // namespace mgpu::wire
