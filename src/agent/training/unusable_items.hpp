#pragma once
// Items that a training cannot use, and why: what its workers skip, and what has ended too many of them.
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

  /// As a checkpoint holds one of them: [part, row, reason].
  static nlohmann::json list(const ReasonByPlace& places);
  /// Adds what a checkpoint holds under `name`.
  static void add(const nlohmann::json& checkpoint, const char* name, ReasonByPlace& places);
  /// Skipped items of the training set.
  std::uint64_t skipped_in_training() const;
};

/// Adds what a rank's worker skipped and tells of each item once. Throws wire::Malformed where there is no such item.
void note_skipped(RunControl& control, int rank, const wire::Skipped& skipped, ReasonByPlace& places);

} // namespace mgpu::agent
