#pragma once
// What is done with the ranks once they are there. The coordinator brings them up and down and hears them; a workload decides what they
// do in between, and what is written.
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

/// What a run came to.
struct Outcome {
  ExitCode code = ExitCode::ok;
  std::uint64_t done = 0, failed = 0, flagged = 0;
  std::uint64_t earlier = 0; ///< of those done, by runs that this one went on with
  double run_s = 0;          ///< first work to last result
  double open_s = 0;         ///< start to first work
  double writer_busy = 0;    ///< fraction of run_s
  std::string stopped;       ///< why it ended early; "" if it did not
  std::string error;         ///< why it failed; "" if it did not
};

/// What a workload may ask of the coordinator.
class RunControl {
 public:
  virtual ~RunControl() = default;
  virtual const RunSetup& setup() const = 0;
  virtual const RankTable& rank_table() const = 0;
  /// The time of the run; any thread.
  virtual double now_s() const = 0;
  /// A frame for a rank's worker.
  virtual void post(int rank, wire::Type type, wire::View payload = {}) = 0;
  /// Nothing that was posted to another rank is still on its way out; of rank 0 always true.
  virtual bool idle(int rank) const = 0;
  /// As post, to every rank that is not lost.
  virtual void post_all(wire::Type type, wire::View payload = {}) = 0;
  /// A line for the person who watches.
  virtual void say(std::string_view line) = 0;
  /// A line in a rank's log.
  virtual void log(int rank, int level, std::string_view text) = 0;
  /// The rank takes no part any more; its worker is ended.
  virtual void give_up(int rank, const std::string& reason) = 0;
  /// Configures the ranks that may_configure() held back.
  virtual void configure_waiting() = 0;
  /// How far plan() is with a long reading, in bytes. Throws Error when the run is not to begin after all.
  virtual void reading(std::string_view what, std::uint64_t done, std::uint64_t total) = 0;
};

class Workload {
 public:
  virtual ~Workload() = default;

  /// All ranks are here and bound: decides who does what and prints it. Throws usage_error. May take minutes: runs on a thread of its own
  /// and may use nothing of the RunControl but setup(), rank_table(), now_s() and reading(); nothing else is called meanwhile.
  virtual void plan(const std::vector<comm::Binding>& bindings) = 0;
  /// The run begins: the output is made.
  virtual void start() = 0;
  /// Adds to a rank's Configure what depends on the workload: the batch size, how many batches it holds, the options.
  virtual void describe(int rank, wire::Configure& configure) const = 0;
  /// How the agents watch their workers.
  virtual wire::Supervise supervise() const = 0;
  /// False while the rank must wait for its Configure: RunControl::configure_waiting() is called when that changes.
  virtual bool may_configure(int /*rank*/) const { return true; }
  /// The rank's Configure is on its way.
  virtual void configured(int /*rank*/) {}
  /// The rank says what it has opened; `again`: not for the first time.
  virtual void opened(int rank, bool again) = 0;
  /// The rank's worker is dead; unless died.retired (then lost() follows) another will open in its place.
  virtual void worker_died(int rank, const wire::Died& died) = 0;
  /// What the rank's GPU shows; its warnings were told, its sample is kept. `changed`: its state is another than before.
  virtual void on_health(int /*rank*/, const wire::Health& /*health*/, bool /*changed*/) {}
  /// A frame that is not the coordinator's own.
  virtual void on_frame(int rank, wire::Type type, wire::View payload, const std::shared_ptr<void>& owner) = 0;
  /// A rank that had opened is lost; `code` is what it gave as its reason's exit code. `over`: all work was done, only its statistics are
  /// missing. Throws Error when the run cannot go on at all.
  virtual void lost(int rank, const std::string& reason, ExitCode code, bool over) = 0;
  /// One round of the event loop while work is going on. True: no more work, the ranks may finish.
  virtual bool step(double now) = 0;
  /// A signal asks for an early end, in good order: batches in hand are finished within `grace_s` or dropped. Called once.
  virtual void stop(const std::string& reason, double now, double grace_s) = 0;
  /// Shows how far the work is; cheap.
  virtual void show(Progress& progress, double now) const = 0;
  /// How long the ranks may take from the end of step() to their statistics, seconds; asked again and again.
  virtual double drain_limit_s() const = 0;
  /// Everything is in, or the ranks took too long: completes the output and prints what came of it.
  virtual Outcome finish() = 0;
  /// The run has failed: what was made but never used is removed.
  virtual void discard_unused() noexcept = 0;
};

using MakeWorkload = std::function<std::unique_ptr<Workload>(RunControl&)>;

} // namespace mgpu::agent
