#include "agent/coordinator/rank_setup.hpp"

#include <fmt/format.h>

#include <set>

#include "common/support/rank_logs.hpp"
#include "common/support/say.hpp"
#include "common/support/text.hpp"

namespace mgpu::agent {

using wire::Type;

std::vector<comm::Binding> bind_ranks(RankTable& ranks, const RunSetup& setup) {
  const std::vector<comm::RankFacts> facts = ranks.facts();
  for (std::size_t rank = 1; rank < facts.size(); ++rank)
    if (facts[rank].hello.versions.mgpu != facts[0].hello.versions.mgpu)
      throw usage_error(fmt::format("rank {} on {} runs another build of mgpu_worker than rank 0; install one build everywhere",
                                    rank, facts[rank].join.host));
  const comm::Locality locality = comm::find_locality(facts);
  std::vector<comm::Binding> bindings = comm::bind_devices(facts, setup.binding, locality);
  for (std::size_t rank = 0; rank < facts.size(); ++rank)
    for (const wire::Device& device : facts[rank].hello.devices)
      if (device.index == bindings[rank].device) ranks.at(static_cast<int>(rank)).gpu_uuid = device.uuid;

  for (const std::string& warning : locality.warnings) print_warning(warning);
  for (const std::string& line : comm::describe_left_out(facts, setup.binding)) print_notice(line);
  if (bindings[0].device < 0 && setup.binding.devices == "auto")
    print_notice(fmt::format("no GPU here ({}): running on the CPU", facts[0].hello.device_note));
  return bindings;
}

RankSetup::RankSetup(RunControl& control, RankTable& ranks, Workload& workload, const std::vector<comm::Binding>& bindings,
                     bool trace)
    : control_(control),
      ranks_(ranks),
      workload_(workload),
      bindings_(bindings),
      trace_(trace),
      model_paths_(bindings.size(), control.setup().model) {}

void RankSetup::begin() {
  const RunSetup& setup = control_.setup();
  const bool stage = !setup.model.empty() && (setup.model_load == ModelLoad::staged ||
                                              (setup.model_load == ModelLoad::automatic && !on_local_disk(setup.model)));
  if (stage)
    for (int rank = 0; rank < ranks_.size(); ++rank)
      if (bindings_[static_cast<std::size_t>(rank)].local_rank == 0) stage_on(rank);
  configure_ready();
}

void RankSetup::stage_on(int rank) {
  const RunSetup& setup = control_.setup();
  staging_nodes_[ranks_.at(rank).join->node] = rank;
  if (rank == 0) return staging_.begin(setup.model, setup.stall_timeout_s);
  wire::Buffer bytes;
  wire::encode(wire::Stage{setup.model, setup.stall_timeout_s}, bytes);
  control_.post(rank, Type::stage, wire::View(bytes));
}

void RankSetup::lost(int rank) {
  const auto node = staging_nodes_.find(ranks_.at(rank).join->node);
  if (node != staging_nodes_.end() && node->second == rank) {
    for (int other = 0; other < ranks_.size(); ++other)
      if (ranks_.at(other).lost.empty() && ranks_.at(other).join->node == node->first) {
        stage_on(other);
        break;
      }
  }
  configure_ready(); // ranks that waited for it to open its model
}

void RankSetup::poll() {
  if (const auto staged = staging_.poll()) on_staged(0, *staged);
}

void RankSetup::on_staged(int rank, const wire::Staged& staged) {
  const std::string& node = ranks_.at(rank).join->node;
  if (!staged.error.empty())
    throw Error(fmt::format("rank {} on {}: cannot stage the model in memory: {}", rank, node, staged.error),
                staged.still != 0 ? ExitCode::stopped : ExitCode::failed);
  for (int other = 0; other < ranks_.size(); ++other)
    if (ranks_.at(other).join->node == node) model_paths_[static_cast<std::size_t>(other)] = staged.path;
  staging_nodes_.erase(node);
  configure_ready();
}

void RankSetup::configure_ready() {
  std::set<std::string> opening; // nodes with a rank that is opening the model
  const bool staggered = control_.setup().model_load == ModelLoad::staggered;
  for (int rank = 0; rank < ranks_.size(); ++rank)
    if (ranks_.at(rank).configured && !ranks_.at(rank).opened && ranks_.at(rank).lost.empty())
      opening.insert(ranks_.at(rank).join->node);
  for (int rank = 0; rank < ranks_.size(); ++rank) {
    const RankState& state = ranks_.at(rank);
    if (state.configured || !state.lost.empty() || staging_nodes_.contains(state.join->node)) continue;
    if (!workload_.may_configure(rank)) continue;
    if (staggered && !opening.insert(state.join->node).second) continue;
    configure(rank);
  }
}

void RankSetup::configure(int rank) {
  const RunSetup& setup = control_.setup();
  const comm::Binding& binding = bindings_[static_cast<std::size_t>(rank)];
  wire::Configure message;
  message.job = setup.job_name;
  message.model_path = model_paths_[static_cast<std::size_t>(rank)];
  message.rank = rank;
  message.world_size = ranks_.size();
  message.local_rank = binding.local_rank;
  message.local_size = binding.local_size;
  message.host = ranks_.at(rank).join->host;
  message.device = binding.device;
  message.dtype = setup.dtype;
  message.threads = binding.threads;
  message.loaders = binding.loaders;
  message.cores = binding.cores;
  message.trace = trace_ ? 1 : 0;
  workload_.describe(rank, message);
  wire::Buffer bytes;
  wire::Supervise supervise = workload_.supervise();
  supervise.gpu_uuid = ranks_.at(rank).gpu_uuid;
  supervise.max_gpu_temperature_c = setup.max_gpu_temperature_c;
  supervise.health_interval_s = setup.health_interval_s;
  wire::encode(supervise, bytes);
  control_.post(rank, Type::supervise, wire::View(bytes));
  bytes.clear();
  wire::encode(message, bytes);
  control_.post(rank, Type::configure, wire::View(bytes));
  ranks_.at(rank).configured = true;
  control_.log(
      rank, log_info,
      fmt::format("host {}, model {}, {} loader(s), {} thread(s)", message.host,
                  message.model_path.empty() ? "none" : show_path(message.model_path), message.loaders, message.threads));
  workload_.configured(rank);
}

} // namespace mgpu::agent
