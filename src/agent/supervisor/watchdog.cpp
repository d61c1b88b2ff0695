#include "agent/supervisor/watchdog.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace mgpu::agent {

using wire::Doing;

namespace {

/// A worker's main thread beats twice a second whatever its other threads do, so with a short --item-timeout silence is not
/// tolerated for much longer than that.
constexpr double least_silence_s = 10;
/// Less than this within --stall-timeout is no work: threads wake up now and then to read the clock.
constexpr double idle_cpu = 0.01; ///< of a core
constexpr std::uint64_t idle_io_bytes = 1'000'000;

/// --item-timeout auto: ends a model that loops, and leaves time for a slow one.
constexpr double times_the_median = 100, least_limit_s = 600, limit_at_first_s = 3600;

/// The name of the first activity, and the number of the others.
std::string names_of(const std::vector<wire::Activity>& activities) {
  return activities.size() == 1 ? name_of(activities.front())
                                : fmt::format("{} and {} more", name_of(activities.front()), activities.size() - 1);
}

} // namespace

std::string name_of(const wire::Activity& activity) {
  const std::uint64_t last = activity.first + activity.rows - 1;
  const char* doing = activity.doing == Doing::running                ? "running"
                      : activity.doing == Doing::collecting           ? "collecting"
                      : activity.doing == Doing::encoding             ? "writing the results of"
                      : activity.doing == Doing::preparing_validation ? "preparing validation"
                                                                      : "preparing";
  return activity.rows == 1 ? fmt::format("{} item {}", doing, activity.first)
                            : fmt::format("{} items {} to {}", doing, activity.first, last);
}

void Watchdog::begin() {
  pulse_s_ = usage_s_ = 0;
}

void Watchdog::resume(double now) {
  begin();
  awake_s_ = now;
}

double Watchdog::longest_silence_s() const {
  double longest_s = std::numeric_limits<double>::infinity();
  if (limits_.stall_timeout_s > 0) longest_s = limits_.stall_timeout_s;
  if (limits_.item_timeout_s > 0)
    longest_s = std::min(longest_s, std::max(least_silence_s, limits_.item_timeout_s * static_cast<double>(limits_.batch_size)));
  return longest_s;
}

std::optional<Watchdog::Late> Watchdog::look(const Facts& worker, double now) {
  if (const std::uint64_t pulse = worker.activity_table.pulse(); pulse != pulse_ || pulse_s_ == 0) {
    pulse_ = pulse;
    pulse_s_ = now;
  }
  const double silence_s = longest_silence_s();
  if (now - pulse_s_ > silence_s)
    return Late{fmt::format("no sign of life for {:g} s ({})", silence_s,
                            silence_s == limits_.stall_timeout_s ? "--stall-timeout" : "--item-timeout"),
                worker.activity_table.read()};
  if (limits_.stall_timeout_s > 0) {
    if (auto late = look_for_idle(worker, now)) return late;
  }
  if (limits_.item_timeout_s == 0) return std::nullopt;
  for (const wire::Activity& activity : worker.activity_table.read()) {
    const double limit = limit_s(activity, worker.activity_table);
    if (now - std::max(activity.since_s, awake_s_) > limit)
      return Late{fmt::format("{} took longer than --item-timeout {}allows ({:g} s)", name_of(activity),
                              limits_.item_timeout_s < 0 ? "auto " : "", limit),
                  {activity}};
  }
  return std::nullopt;
}

double Watchdog::limit_s(const wire::Activity& activity, const wire::ActivityTable& activity_table) const {
  const bool one_item = activity.doing == Doing::preparing || activity.doing == Doing::preparing_validation;
  // A cut batch is computed as a whole: its other rows are zeros.
  if (limits_.item_timeout_s > 0) return limits_.item_timeout_s * (one_item ? 1 : static_cast<double>(limits_.batch_size));
  const double typical_s = activity_table.typical_s(one_item ? Doing::preparing : Doing::running);
  return typical_s > 0 ? std::max(least_limit_s, times_the_median * typical_s) : limit_at_first_s;
}

/// A worker makes no progress if its activities are unchanged for that time and it has neither computed nor read: a lock that is
/// never released, a file on a server that does not respond. A slow worker is not late here; --item-timeout limits those.
std::optional<Watchdog::Late> Watchdog::look_for_idle(const Facts& worker, double now) {
  std::vector<wire::Activity> in_hand = worker.activity_table.read();
  std::erase_if(in_hand, [&](const wire::Activity& each) {
    return (each.doing == Doing::running && worker.on_gpu) || // the GPU may be working
           (usage_s_ > 0 && each.since_s > usage_s_);
  });
  if (worker.opened && in_hand.empty()) {
    usage_s_ = 0;
    return std::nullopt;
  }
  if (usage_s_ > 0 && now - usage_s_ < limits_.stall_timeout_s) return std::nullopt;
  const ProcessUsage usage = worker.usage();
  const bool idle =
      usage.cpu_s - usage_.cpu_s < idle_cpu * limits_.stall_timeout_s && usage.io_bytes - usage_.io_bytes < idle_io_bytes;
  if (usage_s_ > 0 && idle)
    return Late{fmt::format("did nothing for {:g} s while {} (--stall-timeout)", limits_.stall_timeout_s,
                            worker.opened ? names_of(in_hand) : "opening the model"),
                in_hand, worker.opened && std::all_of(in_hand.begin(), in_hand.end(), [](const wire::Activity& each) {
                           return each.doing == Doing::preparing;
                         })};
  usage_ = usage;
  usage_s_ = now;
  return std::nullopt;
}

} // namespace mgpu::agent
