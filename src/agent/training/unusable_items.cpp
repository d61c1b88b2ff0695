#include "agent/training/unusable_items.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "agent/coordinator/report.hpp"
#include "common/support/rank_logs.hpp"
#include "common/support/text.hpp"

namespace mgpu::agent {

nlohmann::json UnusableItems::list(const ReasonByPlace& places) {
  nlohmann::json rows = nlohmann::json::array();
  for (const auto& [place, reason] : places) rows.push_back({place.first, place.second, reason});
  return rows;
}

void UnusableItems::add(const nlohmann::json& checkpoint, const char* name, ReasonByPlace& places) {
  for (const nlohmann::json& each : checkpoint.value(name, nlohmann::json::array()))
    places.emplace(ItemPlace(each.at(0).get<std::uint8_t>(), each.at(1).get<std::uint64_t>()), each.at(2).get<std::string>());
}

std::uint64_t UnusableItems::skipped_in_training() const {
  return static_cast<std::uint64_t>(std::count_if(skipped.begin(), skipped.end(), [](const auto& each) {
    return each.first.first == static_cast<std::uint8_t>(wire::DataPart::train);
  }));
}

void note_skipped(RunControl& control, int rank, const wire::Skipped& skipped, ReasonByPlace& places) {
  const RunSetup& setup = control.setup();
  for (const wire::SkippedItem& item : skipped.items) {
    const bool held_out = item.part == static_cast<std::uint8_t>(wire::DataPart::validation);
    if (held_out && !setup.training->validation) throw wire::Malformed("a skipped item of a validation that there is not");
    const manifest::Manifest& manifest = held_out ? setup.training->validation->manifest : setup.manifest;
    if (item.index >= manifest.size()) throw wire::Malformed(fmt::format("skipped item {} of {}", item.index, manifest.size()));
    if (!places.emplace(ItemPlace(item.part, item.index), item.reason).second) continue; // as in an epoch before
    const std::string text = fmt::format("{}item {} {}: {}", held_out ? "validation " : "", item.index,
                                         show_path(manifest.path(item.index)), item.reason);
    control.log(rank, log_error, text);
    if (places.size() <= max_reasons_shown) control.say(fmt::format("rank {}: skipped {}", rank, text));
  }
}

} // namespace mgpu::agent
