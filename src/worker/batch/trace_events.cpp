#include "worker/batch/trace_events.hpp"

#include <fmt/format.h>

namespace mgpu::worker {

namespace {

constexpr std::size_t piece_bytes = 64u << 10;

std::int64_t steady_us(TraceEvents::Clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

} // namespace

TraceEvents::TraceEvents(bool enabled, int rank, std::function<void(std::string_view)> hand_on)
    : enabled_(enabled), rank_(rank), hand_on_(std::move(hand_on)) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  realtime_offset_us_ = std::chrono::duration_cast<std::chrono::microseconds>(now).count() - steady_us(Clock::now());
  if (enabled_)
    append(
        fmt::format(R"({{"name":"process_name","ph":"M","pid":{},"tid":0,"args":{{"name":"rank {} worker"}}}})", rank_, rank_));
}

void TraceEvents::name_thread(int thread, std::string_view name) {
  if (!enabled_) return;
  append(fmt::format(R"({{"name":"thread_name","ph":"M","pid":{},"tid":{},"args":{{"name":"{}"}}}})", rank_, thread, name));
}

void TraceEvents::span(std::string_view name, int thread, std::uint64_t batch, Clock::time_point begin, Clock::time_point end) {
  if (!enabled_) return;
  append(fmt::format(R"({{"name":"{}","ph":"X","pid":{},"tid":{},"ts":{},"dur":{},"args":{{"batch":{}}}}})", name, rank_, thread,
                     steady_us(begin) + realtime_offset_us_, steady_us(end) - steady_us(begin), batch));
}

void TraceEvents::append(std::string_view event) {
  const std::lock_guard lock(mutex_);
  if (!piece_.empty()) piece_ += ",\n";
  piece_ += event;
  if (piece_.size() < piece_bytes) return;
  hand_on_(piece_);
  piece_.clear();
}

void TraceEvents::flush() {
  const std::lock_guard lock(mutex_);
  if (!piece_.empty()) hand_on_(piece_);
  piece_.clear();
}

} // namespace mgpu::worker
