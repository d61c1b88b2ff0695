#pragma once
// The printed report at the end of a training.
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

/// One row per rank and the sentence that names the bottleneck; the last validation and its table by class.
void print_training_table(const std::vector<write::RankRow>& ranks, const std::optional<wire::Metrics>& last,
                          const std::optional<wire::Metrics>& best);

/// "The bottleneck was …": the largest share of the ranks' time.
std::string training_bottleneck(const std::vector<write::RankRow>& ranks);

struct TrainingEnd {
  bool complete = false;
  std::uint64_t step = 0;    ///< the last one
  std::uint64_t samples = 0; ///< in the steps of this run
  std::uint64_t skipped = 0; ///< items
  std::int64_t global_batch = 0;
  std::string stopped;         ///< why it ended early; "" if it did not, or by an error
  std::string network;         ///< path of the saved network; "": not saved
  std::string last_checkpoint; ///< of this run; "": none
};

/// Prints steps, speed, and the result file or how to continue.
void print_training_end(const RunSetup& setup, const Outcome& outcome, const TrainingProgress& progress, const TrainingEnd& end);

/// The keys of a training in OUTPUT.summary.json.
nlohmann::json training_summary(const Outcome& outcome, const TrainingProgress& progress, const TrainingEnd& end,
                                const std::optional<wire::Metrics>& last, const std::optional<wire::Metrics>& best);

} // namespace mgpu::agent
