#pragma once
// Chrome trace events of one worker: the activities of its threads. https://ui.perfetto.dev opens the collected file.
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace mgpu::worker {

/// Collects events and passes them on in pieces: JSON objects separated by commas, no comma at either end. Thread-safe.
class TraceEvents {
 public:
  using Clock = std::chrono::steady_clock;

  /// `hand_on` receives each piece; nothing is collected when `enabled` is false.
  TraceEvents(bool enabled, int rank, std::function<void(std::string_view)> hand_on);

  bool enabled() const { return enabled_; }
  /// Thread ids in the trace: 0 messages, 1 run, 2… loaders.
  void name_thread(int thread, std::string_view name);
  /// A span of work on `thread` for `batch`.
  void span(std::string_view name, int thread, std::uint64_t batch, Clock::time_point begin, Clock::time_point end);
  /// Passes on the last piece.
  void flush();

 private:
  void append(std::string_view event);

  bool enabled_;
  int rank_;
  std::function<void(std::string_view)> hand_on_;
  std::int64_t realtime_offset_us_ = 0; ///< ranks share the wall clock, not the steady clock
  std::mutex mutex_;
  std::string piece_;
};

} // namespace mgpu::worker
