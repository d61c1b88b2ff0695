#include "agent/main/doctor.hpp"

#include <fmt/format.h>

#include "agent/coordinator/rank_table.hpp"
#include "agent/coordinator/report.hpp"
#include "agent/coordinator/router.hpp"
#include "common/support/clock.hpp"
#include "common/support/say.hpp"
#include "common/support/text.hpp"
#include "common/wire/control_messages.hpp"
#include "mgpu/version.hpp"

namespace mgpu::agent {

namespace {

constexpr double appear_limit_s = 60;
constexpr double leave_limit_s = 10;

void print_ranks(const RankTable& rank_table, const comm::Locality& locality) {
  std::vector<std::vector<std::string>> rows{{"rank", "node", "local", "cores", "memory free", "GPUs"}};
  for (int rank = 0; rank < rank_table.size(); ++rank) {
    const RankState& state = rank_table.at(rank);
    if (!state.ready()) {
      rows.push_back({std::to_string(rank), state.join ? state.join->node : "?", "-", "-", "-",
                      state.join ? "its worker did not start" : "did not appear"});
      continue;
    }
    std::string gpus;
    for (const wire::Device& device : state.hello->devices)
      gpus += fmt::format("{}{}: {} {} {}", gpus.empty() ? "" : "; ", device.index, device.name,
                          human_bytes(static_cast<double>(device.memory_bytes)), device.uuid);
    rows.push_back({std::to_string(rank), state.join->node,
                    fmt::format("{}/{}", locality.local_rank[static_cast<std::size_t>(rank)],
                                locality.local_size[static_cast<std::size_t>(rank)]),
                    std::to_string(state.join->cores.size()), human_bytes(static_cast<double>(state.join->memory_free_bytes)),
                    gpus.empty() ? "none: " + state.hello->device_note : gpus});
  }
  say("{}", table(rows, {true, false, true, true, true, false}));
}

void print_versions(const RankState& state) {
  const wire::Versions& versions = state.hello->versions;
  say("  mgpu {} · MPI {} · HDF5 {} · LibTorch {} · CUDA {} · NCCL {} · FFmpeg {} · JPEG {}\n", versions.mgpu, state.join->mpi,
      state.join->hdf5, versions.torch, versions.cuda, versions.nccl, versions.ffmpeg, versions.jpeg);
}

} // namespace

bool gather_and_print(comm::Messenger& messenger, WorkerLink& worker, const wire::Join& own_join) {
  RankTable rank_table(messenger.size());
  rank_table.at(0).join = own_join;
  const auto on_frame = [&rank_table](int rank, wire::Type type, wire::View payload, const std::shared_ptr<void>&) {
    if (type == wire::Type::join) rank_table.at(rank).join = wire::decode<wire::Join>(payload);
    if (type == wire::Type::hello) rank_table.at(rank).hello = wire::decode<wire::Hello>(payload);
    if (type == wire::Type::bye) rank_table.at(rank).left = true;
  };
  const auto serve = [&](double limit_s, const auto& until) {
    Backoff backoff;
    for (const double end = now_s() + limit_s; !until() && now_s() < end;) {
      bool busy = messenger.poll(on_frame);
      busy |= worker.poll(
          [&](wire::Type type, wire::View payload, const std::shared_ptr<void>& owner) { on_frame(0, type, payload, owner); });
      messenger.flush();
      if (const auto pause = backoff.next(busy); pause.count() > 0) worker.wait(pause);
    }
    return until();
  };
  const bool here = serve(appear_limit_s, [&] { return rank_table.all([](const RankState& state) { return state.ready(); }); });

  say("mgpu_run {} doctor: {} rank(s)\n", version, rank_table.size());
  comm::Locality locality;
  if (here) locality = comm::find_locality(rank_table.facts());
  print_ranks(rank_table, locality);
  if (rank_table.at(0).ready()) print_versions(rank_table.at(0));
  for (const std::string& warning : locality.warnings) print_warning(warning);
  if (here)
    for (int rank = 1; rank < rank_table.size(); ++rank)
      if (rank_table.at(rank).hello->versions.torch != rank_table.at(0).hello->versions.torch)
        print_warning(fmt::format("rank {} has LibTorch {}, rank 0 {}: results could differ", rank,
                                  rank_table.at(rank).hello->versions.torch, rank_table.at(0).hello->versions.torch));

  for (int rank = 1; rank < rank_table.size(); ++rank)
    messenger.post_message(rank, wire::Type::bye, wire::Bye{here ? 0 : 1, static_cast<std::uint8_t>(here ? 0 : 1)});
  messenger.flush();
  const bool left = serve(leave_limit_s, [&] {
    for (int rank = 1; rank < rank_table.size(); ++rank)
      if (!rank_table.at(rank).left) return false;
    return true;
  });
  if (!here) { // releases all ranks that answered
    for (int rank = 1; rank < rank_table.size(); ++rank) messenger.post_message(rank, wire::Type::bye, wire::Bye{1, 1});
    messenger.flush();
    messenger.poll(on_frame);
  }
  std::fflush(stdout);
  return here && left;
}

} // namespace mgpu::agent
