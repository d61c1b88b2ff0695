#pragma once
// The work of a run. The coordinator starts and ends the ranks and receives their messages; a workload decides what they do in
// between, and what is written.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/comm/binding.hpp"
#include "agent/coordinator/rank_table.hpp"
#include "agent/setup/run_setup.hpp"
#include "common/support/progress.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

/// The result of a run.
struct Outcome {
  ExitCode code = ExitCode::ok;
  std::uint64_t done = 0, failed = 0, flagged = 0;
  std::uint64_t earlier = 0; ///< items of `done` that earlier runs did
  double run_s = 0;          ///< first work to last result
  double open_s = 0;         ///< start to first work
  double writer_busy = 0;    ///< fraction of run_s
  std::string stopped;       ///< why it ended early; "" if it did not
  std::string error;         ///< why it failed; "" if it did not
};

/// The coordinator as a workload sees it.
class RunControl {
 public:
  virtual ~RunControl() = default;
  virtual const RunSetup& setup() const = 0;
  virtual const RankTable& rank_table() const = 0;
  /// The time of the run; any thread.
  virtual double now_s() const = 0;
  /// Sends a frame to a rank's worker.
  virtual void post(int rank, wire::Type type, wire::View payload = {}) = 0;
  /// True when all frames posted to another rank are sent; always true for rank 0.
  virtual bool idle(int rank) const = 0;
  /// As post, to every rank that is not lost.
  virtual void post_all(wire::Type type, wire::View payload = {}) = 0;
  /// Prints a line for the user.
  virtual void say(std::string_view line) = 0;
  /// Writes a line to a rank's log.
  virtual void log(int rank, int level, std::string_view text) = 0;
  /// Drops the rank: it takes no further part.
  virtual void give_up(int rank, const std::string& reason) = 0;
  /// Configures the ranks that may_configure() held back.
  virtual void configure_waiting() = 0;
  /// Reports the progress of a long read in plan(), in bytes. Throws Error when the run was cancelled.
  virtual void reading(std::string_view what, std::uint64_t done, std::uint64_t total) = 0;
};

class Workload {
 public:
  virtual ~Workload() = default;

  /// All ranks are ready and bound: assigns the work and prints the plan. Throws usage_error. May take minutes: runs on its own
  /// thread and may use only setup(), rank_table(), now_s() and reading() of the RunControl; no other function is called
  /// meanwhile.
  virtual void plan(const std::vector<comm::Binding>& bindings) = 0;
  /// The run begins: creates the output.
  virtual void start() = 0;
  /// Adds the workload's part to a rank's Configure: the batch size, the number of batches in flight, the options.
  virtual void describe(int rank, wire::Configure& configure) const = 0;
  /// The limits by which agents supervise their workers.
  virtual wire::Supervise supervise() const = 0;
  /// False while the rank must wait for its Configure: RunControl::configure_waiting() is called when that changes.
  virtual bool may_configure(int /*rank*/) const { return true; }
  /// The rank's Configure was sent.
  virtual void configured(int /*rank*/) {}
  /// The rank has opened the model; `again`: not for the first time.
  virtual void opened(int rank, bool again) = 0;
  /// The rank's worker died. Another one will open, unless died.retired: then lost() follows.
  virtual void worker_died(int rank, const wire::Died& died) = 0;
  /// What a rank's GPU reports; its warnings are printed and its sample is kept already. `changed`: its state differs from the previous one.
  virtual void on_health(int /*rank*/, const wire::Health& /*health*/, bool /*changed*/) {}
  /// A frame that the coordinator does not handle itself.
  virtual void on_frame(int rank, wire::Type type, wire::View payload, const std::shared_ptr<void>& owner) = 0;
  /// A rank is lost; `code`: the exit code of the reason. `over`: all work was done, only its statistics are missing. Throws
  /// Error when the run cannot continue.
  virtual void lost(int rank, const std::string& reason, ExitCode code, bool over) = 0;
  /// One round of the event loop during the work. True: all work is done, the ranks may finish.
  virtual bool step(double now) = 0;
  /// A signal requests an orderly stop: batches in progress are finished within `grace_s` or dropped. Called once.
  virtual void stop(const std::string& reason, double now, double grace_s) = 0;
  /// Shows the progress; must be cheap.
  virtual void show(Progress& progress, double now) const = 0;
  /// Time limit from the end of the work to the ranks' statistics, seconds; read repeatedly.
  virtual double drain_limit_s() const = 0;
  /// All statistics have arrived, or their time limit has passed: completes the output and prints the report.
  virtual Outcome finish() = 0;
  /// The run has failed: removes files that were created but never used.
  virtual void discard_unused() noexcept = 0;
};

using MakeWorkload = std::function<std::unique_ptr<Workload>(RunControl&)>;

} // namespace mgpu::agent
