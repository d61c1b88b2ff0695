#pragma once
// What of a training goes into its result file.
#include <optional>
#include <vector>

#include "agent/coordinator/output.hpp"
#include "agent/training/unusable_items.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

/// Of every item whether a step used it (`all_used`) or it was skipped. Before the first epoch is over nobody says which items were used.
void put_statuses(Output& output, std::uint64_t items, const ReasonByPlace& skipped, bool all_used);

/// `curves`, and the classes of the last validation.
std::vector<write::Series> with_classes(std::vector<write::Series> curves, const std::optional<wire::Metrics>& last);

} // namespace mgpu::agent
