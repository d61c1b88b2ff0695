#pragma once
// The item workload, one row of results per item: grants batches, receives results, writes them.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/coordinator/output.hpp"
#include "agent/coordinator/workload.hpp"
#include "agent/dispatch/dispatcher.hpp"
#include "agent/items/early_stop.hpp"
#include "agent/items/failover.hpp"
#include "agent/items/failure_report.hpp"
#include "agent/items/gatherer.hpp"
#include "agent/items/held_ranks.hpp"
#include "agent/items/input_watch.hpp"
#include "agent/items/shipper.hpp"
#include "common/support/suspension.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/items_messages.hpp"

namespace mgpu::agent {

class ItemWorkload final : public Workload {
 public:
  explicit ItemWorkload(RunControl& control);

  void plan(const std::vector<comm::Binding>& bindings) override;
  void start() override { output_.start(control_.rank_table().size(), identity_, true); }
  void describe(int rank, wire::Configure& configure) const override;
  wire::Supervise supervise() const override;
  void opened(int rank, bool again) override;
  void worker_died(int rank, const wire::Died& died) override;
  void on_health(int rank, const wire::Health& health, bool changed) override {
    if (changed) held_->note(rank, health);
  }
  void on_frame(int rank, wire::Type type, wire::View payload, const std::shared_ptr<void>& owner) override;
  void lost(int rank, const std::string& reason, ExitCode code, bool over) override;
  bool step(double now) override;
  void stop(const std::string& reason, double now, double grace_s) override;
  void show(Progress& progress, double now) const override;
  double drain_limit_s() const override;
  Outcome finish() override;
  /// A run that failed before its first result leaves no output.
  void discard_unused() noexcept override;

 private:
  void identify(bool gpu);
  std::vector<int> nodes() const;
  std::vector<bool> go_on();
  void hand_out(double now);
  wire::BatchRange range_of(const dispatch::Lease& lease) const;
  void fail_row(int rank, const dispatch::Lease& lease, const std::string& reason);
  void on_results(int rank, wire::View block, const std::shared_ptr<void>& owner);
  void accept_rows(write::Rows rows);
  void count(int rank, const wire::BatchResult& result);
  void stop_if_too_many_failed();
  /// `item`: of this run's manifest, from 0.
  std::uint32_t row_in_batch(std::uint64_t batch, std::uint64_t item) const;
  void stop_early(const std::string& reason, double now, double grace_s);

  RunControl& control_;
  const RunSetup& setup_;
  Output output_;
  std::vector<std::int32_t> in_flight_; ///< batches, by rank
  struct Count {
    std::uint64_t items = 0, failed = 0, batches = 0;
  };
  std::vector<Count> counts_; ///< by rank, over all its workers: a worker that died sends no statistics
  std::optional<dispatch::Plan> plan_;
  std::optional<dispatch::Dispatcher> dispatcher_;
  std::optional<items::Failover> failover_;
  std::optional<items::HeldRanks> held_;
  std::optional<items::InputWatch> input_;
  std::optional<items::Gatherer> gatherer_;
  std::optional<Shipper> shipper_;        ///< --ship bytes
  std::vector<wire::Grant> grants_;       ///< by rank: being collected
  std::vector<std::size_t> item_columns_; ///< indices into the manifest
  write::Identity identity_;
  items::FailureReport failures_;
  items::EarlyStop stop_;
  std::uint64_t earlier_ = 0; ///< items done by the earlier runs that this one continues
  double began_s_, first_grant_s_ = 0, last_result_s_ = 0;
  Suspension suspension_;
};

} // namespace mgpu::agent
