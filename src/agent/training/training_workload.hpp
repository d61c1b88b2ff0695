#pragma once
// A training: gives every rank the whole item list and the way to the others, then listens: curves, validations, skipped samples,
// checkpoints. All ranks step together: when a worker dies, all begin again from the last checkpoint, their agents stay. A rank that is out
// ends the run, or, with --min-ranks, the others go on at the same global batch.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/coordinator/output.hpp"
#include "agent/coordinator/workload.hpp"
#include "agent/training/training_plan.hpp"
#include "agent/training/training_progress.hpp"
#include "agent/write/journal/history.hpp"
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
  bool may_configure(int rank) const override { return losses_.empty() && number_[static_cast<std::size_t>(rank)] >= 0; }
  void configured(int rank) override;
  void opened(int rank, bool again) override;
  void worker_died(int rank, const wire::Died& died) override;
  void on_frame(int rank, wire::Type type, wire::View payload, const std::shared_ptr<void>& owner) override;
  void lost(int rank, const std::string& reason, ExitCode code, bool over) override;
  bool step(double now) override;
  void stop(const std::string& reason, double now, double grace_s) override;
  void show(Progress& progress, double now) const override;
  double drain_limit_s() const override;
  Outcome finish() override;
  void discard_unused() noexcept override;

 private:
  using ItemPlace = std::pair<std::uint8_t, std::uint64_t>; ///< part (wire::DataPart) and row

  struct Loss {
    int rank = 0;
    std::string reason;
    ExitCode code = ExitCode::failed;
    wire::FailureCause cause = wire::FailureCause::other;
    std::optional<ItemPlace> item; ///< what certainly ended it
  };

  void open_history();
  void make_pieces();
  void hand_out_pieces();
  void add_pieces(wire::DataPart part, const manifest::Manifest& manifest, const manifest::StringColumn& labels,
                  std::uint64_t count);
  void connect();
  void on_steps(const wire::Steps& steps);
  void on_metrics(wire::Metrics metrics);
  void on_skipped(int rank, const wire::Skipped& skipped);
  void on_saved(int rank, wire::Saved saved);
  void complete_checkpoints();
  nlohmann::json checkpoint_facts(std::uint64_t step) const;
  void halt(bool now, const std::string& reason);
  void fail(const std::string& reason, ExitCode code);
  const Loss& root_cause() const;
  void take_losses(double now);
  void charge(const Loss& loss);
  bool may_begin_again(const Loss& loss) const;
  void begin_again(const Loss& loss);
  void number_ranks();
  int first_rank() const;
  std::uint64_t last_step() const;
  void put_statuses(bool all_used);
  nlohmann::json summary() const;
  std::vector<write::Series> series() const;

  RunControl& control_;
  const RunSetup& setup_;
  const TrainingSetup& training_;
  Config config_; ///< as the workers get it
  Output output_;
  TrainingPlan plan_;
  Checkpoints checkpoints_;
  std::vector<comm::Binding> bindings_;
  std::vector<wire::Buffer> pieces_;    ///< Items frames, until every rank has opened
  std::optional<Checkpoint> begin_;     ///< what the training begins from
  std::vector<int> number_;             ///< by rank: its number among those that train; -1: it is out
  int ranks_ = 0;                       ///< that train
  std::vector<bool> fresh_;             ///< by rank: its worker belongs to this beginning, not to the one before
  std::vector<std::size_t> next_piece_; ///< by rank, of the list; configured() sets it to the first
  bool connected_ = false;
  wire::Trainable trainable_; ///< what they all opened
  double began_s_, connected_s_ = 0, heard_s_ = 0;
  Suspension suspension_;

  std::optional<write::History> history_;
  TrainingProgress progress_;
  std::optional<wire::Metrics> last_metrics_, best_metrics_;
  std::map<ItemPlace, std::string> skipped_;  ///< why
  std::map<ItemPlace, int> deaths_;           ///< workers that it certainly ended, in this run
  std::map<ItemPlace, std::string> given_up_; ///< why; no worker prepares it again
  std::uint64_t samples_ = 0;                 ///< of the steps of this run

  std::vector<Loss> losses_; ///< ranks that failed, in the order in which it was heard
  double lost_s_ = 0;
  std::uint32_t attempt_ = 1; ///< 1 + times the training has begun again
  std::vector<int> blamed_;   ///< by rank: how often since the last checkpoint
  std::string stop_reason_, error_, last_checkpoint_;
  ExitCode stop_code_ = ExitCode::stopped, error_code_ = ExitCode::failed;
};

/// A row a rank and the sentence that names the bottleneck; the last validation and its table by class.
void print_training_table(const std::vector<write::RankRow>& ranks, const std::optional<wire::Metrics>& last,
                          const std::optional<wire::Metrics>& best);

/// "The bottleneck was …": where the ranks' time went.
std::string training_bottleneck(const std::vector<write::RankRow>& ranks);

} // namespace mgpu::agent
