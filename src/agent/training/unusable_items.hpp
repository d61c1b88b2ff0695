#pragma once
// Items that a training cannot use, with reasons: skipped by workers, or given up because they ended too many workers.
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "agent/coordinator/workload.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

using ItemPlace = std::pair<std::uint8_t, std::uint64_t>; ///< part (wire::DataPart) and row
using ReasonByPlace = std::map<ItemPlace, std::string>;

struct UnusableItems {
  ReasonByPlace skipped;
  ReasonByPlace given_up; ///< no worker prepares them again

  /// The form in a checkpoint: [part, row, reason] each.
  static nlohmann::json list(const ReasonByPlace& places);
  /// Adds the list of a checkpoint under `name`.
  static void add(const nlohmann::json& checkpoint, const char* name, ReasonByPlace& places);
  /// Skipped items of the training set.
  std::uint64_t skipped_in_training() const;
};

/// Adds the items that a rank's worker skipped; reports each once. Throws wire::Malformed for an item that does not exist.
void note_skipped(RunControl& control, int rank, const wire::Skipped& skipped, ReasonByPlace& places);

} // namespace mgpu::agent
