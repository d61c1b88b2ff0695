#include "agent/coordinator/planning.hpp"

#include <chrono>
#include <utility>

#include "common/support/clock.hpp"
#include "common/support/say.hpp"
#include "common/support/text.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent {

namespace {
/// When a long read is first reported, and the interval of further reports.
constexpr double told_after_s = 3, told_every_s = 10;
} // namespace

void Planning::begin(std::function<void()> plan, double now) {
  shown_s_ = now - told_every_s + told_after_s;
  plan_ = std::async(std::launch::async, std::move(plan));
}

void Planning::reading(std::string_view what, std::uint64_t done, std::uint64_t total) {
  if (called_off_) throw Error("called off");
  const std::lock_guard lock(mutex_);
  reading_ = {std::string(what), done, total};
}

bool Planning::poll(double now, bool show) {
  if (plan_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
    plan_.get();
    return true;
  }
  if (!show || now - shown_s_ < told_every_s) return false;
  shown_s_ = now;
  const std::lock_guard lock(mutex_);
  if (reading_.total > 0)
    say(stderr, "reading {}: {} of {}\n", show_path(reading_.what), human_bytes(static_cast<double>(reading_.done)),
        human_bytes(static_cast<double>(reading_.total)));
  return false;
}

void Planning::call_off() {
  called_off_ = true;
  if (plan_.valid()) plan_.wait();
}

} // namespace mgpu::agent
