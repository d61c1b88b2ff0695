#pragma once
#include <map>
#include <string>
#include <vector>

#include "agent/comm/binding.hpp"
#include "agent/coordinator/rank_table.hpp"
#include "agent/coordinator/staging.hpp"
#include "agent/coordinator/workload.hpp"

namespace mgpu::agent {

/// Assigns a GPU and cores to each rank, notes the GPUs in the table, and prints what the user should know of it. Throws usage_error.
std::vector<comm::Binding> bind_ranks(RankTable& ranks, const RunSetup& setup);

/// Tells the ranks to open the model: stages it in the memory of their node if that is wanted, then sends each its Configure; with
/// --model-load staggered to one rank per node at a time.
class RankSetup {
 public:
  /// `trace`: workers send trace events. All must outlive this object.
  RankSetup(RunControl& control, RankTable& ranks, Workload& workload, const std::vector<comm::Binding>& bindings, bool trace);
  /// Starts to stage the model, or configures the ranks.
  void begin();
  /// Configures all ranks that may open the model now.
  void configure_ready();
  /// The model is in the memory of the rank's node. Throws Error when it cannot be.
  void on_staged(int rank, const wire::Staged& staged);
  /// Once per round of the event loop, for the staging on rank 0's node.
  void poll();
  /// If the rank was staging the model of its node, another one does it.
  void lost(int rank);

 private:
  void stage_on(int rank);
  void configure(int rank);

  RunControl& control_;
  RankTable& ranks_;
  Workload& workload_;
  const std::vector<comm::Binding>& bindings_;
  bool trace_;
  std::map<std::string, int> staging_nodes_; ///< nodes whose model is being staged, and the rank that does it
  std::vector<std::string> model_paths_;     ///< by rank: the path that it opens
  Staging staging_;                          ///< on rank 0's node
};

} // namespace mgpu::agent
