// Start of the ranks: GPUs and cores, the plan, the model.
#include <fmt/format.h>

#include <filesystem>
#include <set>

#include "agent/coordinator/coordinator.hpp"
#include "agent/coordinator/report.hpp"
#include "agent/coordinator/staging.hpp"
#include "common/support/clock.hpp"
#include "common/support/say.hpp"
#include "common/support/text.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

using wire::Type;

namespace {
/// When a long read before the run is first reported, and the interval of further reports.
constexpr double reading_told_after_s = 3, reading_told_every_s = 10;
} // namespace

void Coordinator::make_plan() {
  const std::vector<comm::RankFacts> facts = rank_table_.facts();
  for (int rank = 1; rank < rank_table_.size(); ++rank)
    if (facts[static_cast<std::size_t>(rank)].hello.versions.mgpu != facts[0].hello.versions.mgpu)
      throw usage_error(fmt::format("rank {} on {} runs another build of mgpu_worker than rank 0; install one build everywhere",
                                    rank, facts[static_cast<std::size_t>(rank)].join.host));
  const comm::Locality locality = comm::find_locality(facts);
  bindings_ = comm::bind_devices(facts, setup_.binding, locality);
  const bool gpu = bindings_[0].device >= 0;
  name_gpus(facts);

  for (const std::string& warning : locality.warnings) print_warning(warning);
  for (const std::string& line : comm::describe_left_out(facts, setup_.binding)) print_notice(line);
  if (!gpu && setup_.binding.devices == "auto")
    print_notice(fmt::format("no GPU here ({}): running on the CPU", facts[0].hello.device_note));
  phase_ = Phase::planning;
  reading_shown_s_ = now_s() - reading_told_every_s + reading_told_after_s;
  planning_ = std::async(std::launch::async, [this] { workload_->plan(bindings_); });
}

void Coordinator::reading(std::string_view what, std::uint64_t done, std::uint64_t total) {
  if (call_off_) throw Error("called off");
  const std::lock_guard lock(reading_mutex_);
  reading_ = {std::string(what), done, total};
}

void Coordinator::watch_planning(double now) {
  if (planning_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
    planning_.get();
    return begin_work();
  }
  if (setup_.progress == "none" || now - reading_shown_s_ < reading_told_every_s) return;
  reading_shown_s_ = now;
  const std::lock_guard lock(reading_mutex_);
  if (reading_.total == 0) return;
  mgpu::say(stderr, "reading {}: {} of {}\n", show_path(reading_.what), human_bytes(static_cast<double>(reading_.done)),
            human_bytes(static_cast<double>(reading_.total)));
}

void Coordinator::begin_work() {
  if (setup_.dry_run) {
    phase_ = Phase::done;
    return;
  }

  workload_->start();
  progress_ = std::make_unique<Progress>(setup_.progress, setup_.manifest.size());
  phase_ = Phase::running;
  stage_or_configure();
}

void Coordinator::stage_or_configure() {
  const bool stage = !setup_.model.empty() && (setup_.model_load == ModelLoad::staged ||
                                               (setup_.model_load == ModelLoad::automatic && !on_local_disk(setup_.model)));
  if (stage)
    for (int rank = 0; rank < rank_table_.size(); ++rank)
      if (bindings_[static_cast<std::size_t>(rank)].local_rank == 0) stage_on(rank);
  configure_ready();
}

void Coordinator::stage_on(int rank) {
  staging_nodes_[rank_table_.at(rank).join->node] = rank;
  if (rank == 0)
    staging_.begin(setup_.model, setup_.stall_timeout_s);
  else
    messenger_.post_message(rank, Type::stage, wire::Stage{setup_.model, setup_.stall_timeout_s});
}

/// If the lost rank was staging the model of its node, another rank of the node does it.
void Coordinator::restage(int lost) {
  const auto node = staging_nodes_.find(rank_table_.at(lost).join->node);
  if (node == staging_nodes_.end() || node->second != lost) return;
  for (int rank = 0; rank < rank_table_.size(); ++rank)
    if (rank_table_.at(rank).lost.empty() && rank_table_.at(rank).join->node == node->first) return stage_on(rank);
}

void Coordinator::on_staged(int rank, const wire::Staged& staged) {
  if (phase_ != Phase::running) return; // the other ranks have finished all work meanwhile
  const std::string& node = rank_table_.at(rank).join->node;
  if (!staged.error.empty())
    throw Error(fmt::format("rank {} on {}: cannot stage the model in memory: {}", rank, node, staged.error),
                staged.still != 0 ? ExitCode::stopped : ExitCode::failed);
  for (int other = 0; other < rank_table_.size(); ++other)
    if (rank_table_.at(other).join->node == node) staged_paths_[static_cast<std::size_t>(other)] = staged.path;
  staging_nodes_.erase(node);
  configure_ready();
}

void Coordinator::configure_ready() {
  if (phase_ != Phase::running) return;
  std::set<std::string> opening; // nodes with a rank that is opening the model
  const bool staggered = setup_.model_load == ModelLoad::staggered;
  for (int rank = 0; rank < rank_table_.size(); ++rank)
    if (rank_table_.at(rank).configured && !rank_table_.at(rank).opened && rank_table_.at(rank).lost.empty())
      opening.insert(rank_table_.at(rank).join->node);
  for (int rank = 0; rank < rank_table_.size(); ++rank) {
    const RankState& state = rank_table_.at(rank);
    if (state.configured || !state.lost.empty() || staging_nodes_.contains(state.join->node)) continue;
    if (!workload_->may_configure(rank)) continue;
    if (staggered && !opening.insert(state.join->node).second) continue;
    configure(rank);
  }
}

void Coordinator::configure(int rank) {
  const comm::Binding& binding = bindings_[static_cast<std::size_t>(rank)];
  wire::Configure message;
  message.job = setup_.job_name;
  message.model_path = staged_paths_[static_cast<std::size_t>(rank)];
  message.rank = rank;
  message.world_size = rank_table_.size();
  message.local_rank = binding.local_rank;
  message.local_size = binding.local_size;
  message.host = rank_table_.at(rank).join->host;
  message.device = binding.device;
  message.dtype = setup_.dtype;
  message.threads = binding.threads;
  message.loaders = binding.loaders;
  message.cores = binding.cores;
  message.trace = trace_ ? 1 : 0;
  workload_->describe(rank, message);
  wire::Buffer bytes;
  wire::Supervise supervise = workload_->supervise();
  supervise.gpu_uuid = rank_table_.at(rank).gpu_uuid;
  supervise.max_gpu_temperature_c = setup_.max_gpu_temperature_c;
  supervise.health_interval_s = setup_.health_interval_s;
  wire::encode(supervise, bytes);
  post(rank, Type::supervise, wire::View(bytes));
  bytes.clear();
  wire::encode(message, bytes);
  post(rank, Type::configure, wire::View(bytes));
  rank_table_.at(rank).configured = true;
  log(rank, log_info,
      fmt::format("host {}, model {}, {} loader(s), {} thread(s)", message.host,
                  message.model_path.empty() ? "none" : show_path(message.model_path), message.loaders, message.threads));
  workload_->configured(rank);
}

void Coordinator::on_opened(int rank, wire::Opened opened) {
  RankState& state = rank_table_.at(rank);
  const bool again = state.opened.has_value(); // with columns that were unknown before the first batch
  state.opened = std::move(opened);
  if (!again && setup_.progress != "none" && rank_table_.size() <= 64)
    say(fmt::format("rank {} on {}: {} ready in {}, {} of memory", rank, state.join->host, state.opened->device,
                    human_duration(state.opened->seconds), human_bytes(static_cast<double>(state.opened->memory_bytes))));
  if (!again) log(rank, log_info, fmt::format("{} ready in {}", state.opened->device, human_duration(state.opened->seconds)));
  workload_->opened(rank, again);
  if (!again) configure_ready();
}

} // namespace mgpu::agent
