#pragma once
// What a person reads when a training has ended.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent/coordinator/workload.hpp"
#include "agent/training/training_progress.hpp"
#include "agent/write/hdf5/result_file.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

/// A row a rank and the sentence that names the bottleneck; the last validation and its table by class.
void print_training_table(const std::vector<write::RankRow>& ranks, const std::optional<wire::Metrics>& last,
                          const std::optional<wire::Metrics>& best);

/// "The bottleneck was …": where the ranks' time went.
std::string training_bottleneck(const std::vector<write::RankRow>& ranks);

struct TrainingEnd {
  bool complete = false;
  std::uint64_t step = 0;    ///< the last one
  std::uint64_t samples = 0; ///< of the steps of this run
  std::uint64_t skipped = 0; ///< items
  std::int64_t global_batch = 0;
  std::string stopped;         ///< why it ended early; "" if it did not, or by an error
  std::string network;         ///< where it was saved; "": nowhere
  std::string last_checkpoint; ///< of this run; "": none
};

/// How far it came and how fast, and where its result is or how it goes on.
void print_training_end(const RunSetup& setup, const Outcome& outcome, const TrainingProgress& progress, const TrainingEnd& end);

/// What a training adds to OUTPUT.summary.json.
nlohmann::json training_summary(const Outcome& outcome, const TrainingProgress& progress, const TrainingEnd& end,
                                const std::optional<wire::Metrics>& last, const std::optional<wire::Metrics>& best);

} // namespace mgpu::agent
