#pragma once
#include <chrono>
#include <functional>
#include <string>

namespace mgpu {

/// Seconds on a monotonic clock.
inline double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// An injected now_s(); tests have their own.
using Clock = std::function<double()>;

inline double seconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

/// Seconds since 1970.
inline double unix_now_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// Now, as ISO 8601 in UTC: "2026-11-21T11:18:46Z".
std::string utc_now();

/// "3.2 s", "4 min 10 s", "2 h 05 min".
std::string human_duration(double seconds);

/// "512 B", "4.2 MB", "1.3 GB" (powers of 1000).
std::string human_bytes(double bytes);

} // namespace mgpu
