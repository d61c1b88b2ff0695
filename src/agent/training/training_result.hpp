#pragma once
// The parts of a training in its result file.
#include <optional>
#include <vector>

#include "agent/coordinator/output.hpp"
#include "agent/training/unusable_items.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

/// The status of every item: used by a step (`all_used`) or skipped. Within the first epoch the used items are unknown.
void put_statuses(Output& output, std::uint64_t items, const ReasonByPlace& skipped, bool all_used);

/// `curves`, with the classes of the last validation.
std::vector<write::Series> with_classes(std::vector<write::Series> curves, const std::optional<wire::Metrics>& last);

} // namespace mgpu::agent
