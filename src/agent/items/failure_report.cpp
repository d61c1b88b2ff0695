#include "agent/items/failure_report.hpp"

#include <fmt/format.h>

#include "agent/coordinator/report.hpp"
#include "common/support/rank_logs.hpp"
#include "common/support/text.hpp"

namespace mgpu::agent::items {

void FailureReport::add(int rank, const FailedItem& failed, std::uint64_t failed_before) {
  if (first_.reason.empty()) first_ = failed;
  alike_ += failed.reason == first_.reason ? 1 : 0;
  const std::string text = fmt::format("item {} {}: {}", control_.setup().first_item() + failed.item,
                                       show_path(control_.setup().manifest.path(failed.item)), failed.reason);
  control_.log(rank, log_error, text);
  if (failed_before < max_reasons_shown) control_.say(fmt::format("rank {}: {}", rank, text));
}

void FailureReport::warn_if_all_fail(std::uint64_t done) {
  constexpr std::uint64_t enough = 100;
  if (warned_ || done < enough) return;
  warned_ = true;
  if (alike_ < done) return;
  control_.say(fmt::format("the first {} items all failed, for one reason: {}{}", done, printable(first_.reason),
                           first_.cause == Cause::io
                               ? ". Are the paths right? Those of a list or table are relative to its folder, and every "
                                 "host must see the files (else --ship bytes)"
                               : ""));
}

} // namespace mgpu::agent::items
