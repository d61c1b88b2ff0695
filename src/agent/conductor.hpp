#pragma once
// Rank 0's side of a run: brings the ranks up, hands out batches, takes results in, brings the ranks down. One thread; every
// phase has a deadline, and a rank that falls silent is dropped, not waited for.
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "agent/roster.hpp"
#include "agent/router.hpp"
#include "agent/run_setup.hpp"
#include "agent/worker_link.hpp"
#include "comm/messenger.hpp"
#include "dispatch/dispatcher.hpp"
#include "gather/gatherer.hpp"
#include "support/progress.hpp"
#include "support/rank_logs.hpp"
#include "support/trace.hpp"
#include "write/writer.hpp"

namespace mgpu::agent {

/// What a run came to.
struct Outcome {
  ExitCode code = ExitCode::ok;
  std::uint64_t done = 0, failed = 0, flagged = 0;
  double run_s = 0;       ///< first grant to last result
  double open_s = 0;      ///< start to first grant
  double writer_busy = 0; ///< fraction of run_s
  std::string stopped;    ///< why it ended early; "" if it did not
};

class Conductor {
 public:
  Conductor(const RunSetup& setup, comm::Messenger& messenger, WorkerLink& worker);
  ~Conductor();

  /// Runs to the end. Throws Error when the run cannot start or cannot go on (exit 1 or 2); what was finished is kept in
  /// OUTPUT.partial. dismiss() must follow either way.
  Outcome run(const wire::Join& own_join);
  /// Sends every rank home with an exit code of 0 (rank 0 carries the run's) and waits for their byes, at most `limit_s`. False
  /// if some rank did not answer: MPI must then be left without MPI_Finalize.
  bool dismiss(double limit_s = 10);

  const Roster& roster() const { return roster_; }

 private:
  enum class Phase : std::uint8_t { gathering, running, draining, done };

  bool step();
  void serve(double limit_s, const std::function<bool()>& until);
  void on_frame(int rank, wire::Type type, wire::View payload, const std::shared_ptr<void>& owner);
  void on_opened(int rank, wire::Opened opened);
  void on_results(int rank, wire::View block, const std::shared_ptr<void>& owner);
  void on_failure(int rank, const wire::Failure& failure);
  void drop_rank(int rank, const std::string& reason);
  void watch(double now);
  void watch_signals(double now);
  void post(int rank, wire::Type type, wire::View payload = {});

  void begin(); ///< all ranks are here: bind, plan, say the plan
  void stage_or_configure();
  void on_staged(int rank, const wire::Staged& staged);
  void configure_ready(); ///< all that may open now: all at once, or a rank a node when staggered
  void configure(int rank);
  void open_output(const std::vector<ColumnSpec>& columns);
  void hand_out(double now);
  void add_to_grant(wire::Grant& grant, const dispatch::Lease& lease);
  void fail_batch(int rank, const dispatch::Lease& lease);
  void tell_failure(int rank, const gather::FailedItem& failed);
  void drain();
  void finish();
  void discard_unused_output() noexcept; ///< a run that failed before its first result leaves nothing behind

  const RunSetup& setup_;
  comm::Messenger& messenger_;
  WorkerLink& worker_;
  Roster roster_;
  Phase phase_ = Phase::gathering;
  double began_s_ = 0, beat_s_ = 0, phase_deadline_s_ = 0, first_grant_s_ = 0;

  std::vector<comm::Binding> bindings_;
  std::set<std::string> staging_nodes_;   ///< nodes whose leader has not answered yet
  std::vector<std::string> staged_paths_; ///< by rank: what it opens
  std::optional<dispatch::Plan> plan_;
  std::optional<dispatch::Dispatcher> dispatcher_;
  std::optional<gather::Gatherer> gatherer_;
  std::future<std::unique_ptr<write::ResultFile>> file_; ///< being made while the models open
  std::unique_ptr<write::Writer> writer_;
  std::optional<std::vector<ColumnSpec>> columns_;
  std::vector<wire::Grant> grants_;                       ///< by rank: being put together
  std::vector<std::pair<int, dispatch::Lease>> hopeless_; ///< leases that failed too often
  std::vector<std::size_t> item_columns_;                 ///< indices into the manifest
  std::future<std::string> model_hash_;
  std::unique_ptr<Progress> progress_;
  std::unique_ptr<TraceFile> trace_;
  std::unique_ptr<RankLogs> logs_;
  std::string started_at_, stop_reason_;
  double stop_s_ = 0;
  Outcome outcome_;
};

} // namespace mgpu::agent
