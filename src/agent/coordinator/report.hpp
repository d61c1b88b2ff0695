#pragma once
// The printed report of a run: the plan before it, table and bottleneck after it; and the summary for scripts.
#include <string>
#include <string_view>
#include <vector>

#include "agent/coordinator/workload.hpp"
#include "agent/dispatch/plan.hpp"
#include "agent/write/hdf5/result_file.hpp"

namespace mgpu::agent {

/// Reasons printed while running; all are in the result file.
inline constexpr std::uint64_t max_reasons_shown = 100;
/// Maximum number of ranks in a table.
inline constexpr std::size_t most_rows_shown = 64;

/// "37 %"; "-" when `whole` is 0.
std::string percent(double part, double whole);
/// "0-3,8"; "any" when empty.
std::string core_list(const std::vector<std::int32_t>& cores);
/// "cpu", "cuda:0 NVIDIA H200".
std::string device_name(const RankState& state, const comm::Binding& binding);

/// Prints the plan: items, batches, and each rank's device, cores and expected items.
void print_plan(const RunSetup& setup, const dispatch::Plan& plan, const RankTable& rank_table,
                const std::vector<comm::Binding>& bindings);

/// "opening the model: rank 0 reading weights 40 %, …"; for the live line.
std::string opening_line(const RankTable& rank_table);

write::RankRow rank_row(int rank, const RankState& state);

/// One row per rank, the GPUs that were too hot or failed, and the sentence that names the bottleneck.
void print_table(const RunSetup& setup, const Outcome& outcome, const std::vector<write::RankRow>& ranks,
                 const RankTable& rank_table);

/// One line per rank whose GPU was too hot or failed.
void print_gpus(const RankTable& rank_table);

/// "The bottleneck was …": the largest share of the ranks' time: device, loading, writing or too little work.
std::string bottleneck(const Outcome& outcome, const std::vector<write::RankRow>& ranks);

/// OUTPUT.summary.json: one line. `more`: keys that a workload adds.
void write_summary(const RunSetup& setup, const Outcome& outcome, const write::Footer& footer,
                   const nlohmann::json& more = nlohmann::json::object());

/// Job::finish on standard output.
void finish_job(const Job& job, const Config& config, const Results& results);

} // namespace mgpu::agent
