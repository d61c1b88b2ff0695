#pragma once
// Rank 0's event loop: starts the ranks, runs a workload on them, ends them. One thread. Start and drain have deadlines, and a
// rank that stops responding is dropped.
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/comm/messenger.hpp"
#include "agent/coordinator/planning.hpp"
#include "agent/coordinator/process.hpp"
#include "agent/coordinator/rank_heartbeats.hpp"
#include "agent/coordinator/rank_setup.hpp"
#include "agent/coordinator/rank_table.hpp"
#include "agent/coordinator/router.hpp"
#include "agent/coordinator/run_logs.hpp"
#include "agent/coordinator/workload.hpp"
#include "agent/setup/run_setup.hpp"
#include "agent/supervisor/worker_link.hpp"
#include "common/support/progress.hpp"
#include "common/support/suspension.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

class Coordinator final : private RunControl {
 public:
  /// `on_beat`: called about once a second. `on_leave`: called when a second INT ends this process at once, to end the worker.
  Coordinator(const RunSetup& setup, comm::Messenger& messenger, WorkerLink& worker, MakeWorkload make_workload,
              std::function<void()> on_beat = {}, std::function<void()> on_leave = {}, Process process = {});
  ~Coordinator() override;
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  /// Runs to the end. Throws Error when the run cannot start or cannot continue; finished work is kept. dismiss() must follow in
  /// either case.
  Outcome run(const wire::Join& own_join);
  /// run() in parts: start(), step() until done(), outcome(). step() and outcome() throw what run() throws.
  void start(const wire::Join& own_join);
  /// One round of the event loop; true if anything happened.
  bool step();
  bool done() const { return phase_ == Phase::done; }
  const Outcome& outcome() const;
  /// Ends the other ranks with exit code 0 (rank 0 has the exit code of the run) and waits for their answers, at most `limit_s`.
  /// False if a rank is lost or did not answer: this process must then exit at once without MPI_Finalize, as the others do.
  bool dismiss(double limit_s = 10);
  /// Whether the run ended because agents or the launcher were lost and not by a user's signal. TERM from mpirun counts as a
  /// loss: mpirun sends it when it has lost a node.
  bool lost_machines() const;

  const RankTable& rank_table() const override { return rank_table_; }

 private:
  enum class Phase : std::uint8_t { gathering, planning, running, draining, finishing, done };

  const RunSetup& setup() const override { return setup_; }
  double now_s() const override { return process_.clock(); }
  void post(int rank, wire::Type type, wire::View payload = {}) override;
  bool idle(int rank) const override { return rank == 0 || messenger_.idle(rank); }
  void post_all(wire::Type type, wire::View payload = {}) override;
  void say(std::string_view line) override;
  void log(int rank, int level, std::string_view text) override { logs_.log(rank, level, text); }
  void give_up(int rank, const std::string& reason) override;
  void configure_waiting() override;
  void reading(std::string_view what, std::uint64_t done, std::uint64_t total) override { planning_.reading(what, done, total); }

  bool round();
  void abandon();
  void serve(double limit_s, const std::function<bool()>& until);
  void on_frame(int rank, wire::Type type, wire::View payload, const std::shared_ptr<void>& owner);
  void hear(int rank, wire::Type type, wire::View payload, const std::shared_ptr<void>& owner);
  void on_opened(int rank, wire::Opened opened);
  void on_failure(int rank, const wire::Failure& failure);
  void on_died(int rank, const wire::Died& died);
  void on_health(int rank, const wire::Health& health);
  void drop_rank(int rank, const std::string& reason, ExitCode code);
  int lost_agents() const;
  void lose_agent(int rank, const std::string& reason);
  void on_signal(const wire::Signal& told);
  [[noreturn]] void leave_at_once();
  bool starting() const { return phase_ == Phase::gathering || phase_ == Phase::planning; }
  bool over() const { return phase_ == Phase::finishing || phase_ == Phase::done; }
  void watch(double now);
  void beat(double now);
  void watch_running(double now);
  void watch_draining(double now);
  void watch_finishing();

  void make_plan(); ///< when all ranks are ready
  void begin_work();
  void drain();

  const RunSetup& setup_;
  comm::Messenger& messenger_;
  WorkerLink& worker_;
  MakeWorkload make_workload_;
  std::function<void()> on_beat_, on_leave_;
  Process process_;
  RankTable rank_table_;
  std::unique_ptr<Workload> workload_;
  std::vector<comm::Binding> bindings_; ///< by rank
  Planning planning_;
  RankHeartbeats heartbeats_;
  Phase phase_ = Phase::gathering;
  Suspension suspension_;
  double began_s_ = 0, beat_s_ = 0, phase_deadline_s_ = 0, drain_s_ = 0;
  bool stopping_ = false;
  wire::Signal asked_; ///< the first signal that any rank received

  std::unique_ptr<RankSetup> rank_setup_; ///< from the plan on
  std::unique_ptr<Progress> progress_;
  RunLogs logs_;
  std::future<Outcome> finishing_; ///< on a thread of its own: completing a large file takes long
  Outcome outcome_;
};

} // namespace mgpu::agent
