#pragma once
// The training workload: sends every rank the item list and the addresses of the others, then receives curves, validations,
// skipped samples and checkpoints. All ranks step together: when a worker dies, all workers restart from the last checkpoint; the
// agents stay. The loss of a rank ends the run or, with --min-ranks, the others continue with the same global batch.
#include <optional>
#include <string>
#include <vector>

#include "agent/coordinator/output.hpp"
#include "agent/coordinator/workload.hpp"
#include "agent/training/item_pieces.hpp"
#include "agent/training/rank_failures.hpp"
#include "agent/training/training_plan.hpp"
#include "agent/training/training_progress.hpp"
#include "agent/training/training_records.hpp"
#include "agent/training/unusable_items.hpp"
#include "common/support/suspension.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

class TrainingWorkload final : public Workload {
 public:
  explicit TrainingWorkload(RunControl& control);

  void plan(const std::vector<comm::Binding>& bindings) override;
  void start() override;
  void describe(int rank, wire::Configure& configure) const override;
  wire::Supervise supervise() const override;
  bool may_configure(int rank) const override { return failures_.empty() && number_[static_cast<std::size_t>(rank)] >= 0; }
  void configured(int rank) override;
  void opened(int rank, bool again) override;
  void worker_died(int rank, const wire::Died& died) override;
  void on_health(int rank, const wire::Health& health, bool changed) override;
  void on_frame(int rank, wire::Type type, wire::View payload, const std::shared_ptr<void>& owner) override;
  void lost(int rank, const std::string& reason, ExitCode code, bool over) override;
  bool step(double now) override;
  void stop(const std::string& reason, double now, double grace_s) override;
  void show(Progress& progress, double now) const override;
  double drain_limit_s() const override;
  Outcome finish() override;
  void discard_unused() noexcept override;

 private:
  void open_records();
  void make_pieces();
  void connect();
  void on_steps(const wire::Steps& steps);
  void on_metrics(wire::Metrics metrics);
  void on_skipped(int rank, const wire::Skipped& skipped);
  void on_saved(int rank, wire::Saved saved);
  void complete_checkpoints();
  void halt(bool now, const std::string& reason);
  void fail(const std::string& reason, ExitCode code);
  void take_failures(double now);
  void restart(const RankFailure& failure);
  void number_ranks();
  std::uint64_t last_step() const;

  RunControl& control_;
  const RunSetup& setup_;
  const TrainingSetup& training_;
  Config config_; ///< as sent to the workers
  Output output_;
  TrainingPlan plan_;
  std::vector<comm::Binding> bindings_;
  ItemPieces pieces_;
  std::optional<Checkpoint> begin_; ///< where the training starts
  std::vector<int> number_;         ///< by rank: its number among those that train; -1: lost
  int ranks_ = 0;                   ///< number of ranks that train
  std::vector<bool> fresh_;         ///< by rank: its worker was started after the last restart
  bool connected_ = false;
  wire::Trainable trainable_; ///< the network that all ranks have opened
  double began_s_, connected_s_ = 0, heard_s_ = 0;
  Suspension suspension_;

  TrainingRecords records_;
  TrainingProgress progress_;
  std::optional<wire::Metrics> last_metrics_, best_metrics_;
  UnusableItems unusable_;
  std::uint64_t samples_ = 0; ///< in the steps of this run

  RankFailures failures_;
  std::uint32_t attempt_ = 1; ///< 1 + restarts of the training
  std::string stop_reason_, error_;
  ExitCode stop_code_ = ExitCode::stopped, error_code_ = ExitCode::failed;
};

} // namespace mgpu::agent
