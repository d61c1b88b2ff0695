#pragma once
// One row of results an item: hands out batches, takes results in, writes them.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/coordinator/output.hpp"
#include "agent/coordinator/workload.hpp"
#include "agent/dispatch/dispatcher.hpp"
#include "agent/items/gatherer.hpp"
#include "agent/items/input_probe.hpp"
#include "agent/items/shipper.hpp"
#include "agent/items/unreadable.hpp"
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
  void on_frame(int rank, wire::Type type, wire::View payload, const std::shared_ptr<void>& owner) override;
  void lost(int rank, const std::string& reason, ExitCode code, bool over) override;
  bool step(double now) override;
  void stop(const std::string& reason, double now, double grace_s) override;
  void show(Progress& progress, double now) const override;
  double drain_limit_s() const override;
  Outcome finish() override;
  /// A run that failed before its first result leaves nothing behind.
  void discard_unused() noexcept override;

 private:
  void identify(bool gpu);
  std::vector<int> nodes() const;
  std::vector<bool> go_on();
  void hand_out(double now);
  wire::BatchRange range_of(const dispatch::Lease& lease) const;
  void fail_row(int rank, const dispatch::Lease& lease, const std::string& reason);
  void on_results(int rank, wire::View block, const std::shared_ptr<void>& owner);
  void accept(int rank, const wire::BatchResult& result, wire::View block, const std::shared_ptr<void>& owner);
  void try_elsewhere(int rank, const dispatch::Lease& lease, const wire::BatchResult& result,
                     const std::vector<items::Unreadable>& unreadable);
  void put_aside_sick_ranks();
  double quiet_since() const;
  bool input_is_away() const;
  void watch_input(double now);
  std::vector<std::string> paths_to_probe();
  void give_up_stalled_ranks();
  std::uint32_t row_in_batch(std::uint64_t batch, std::uint64_t item) const;
  void warn_if_all_fail();
  void tell_failure(int rank, const items::FailedItem& failed);

  RunControl& control_;
  const RunSetup& setup_;
  Output output_;
  std::vector<std::int32_t> in_flight_; ///< batches, by rank
  struct Count {
    std::uint64_t items = 0, failed = 0, batches = 0;
  };
  std::vector<Count> counts_;           ///< by rank, of all its workers: one that died has told nothing
  std::vector<std::string> unreadable_; ///< by rank: why it first could not read an item
  std::vector<int> stalls_;             ///< by rank: workers that stalled, and were to blame, with nothing done between
  InputProbe probe_;
  std::uint64_t probed_items_ = 0;
  double probed_s_ = 0, lively_s_ = 0;
  bool settled_ = false; ///< a second try was answered
  std::optional<dispatch::Plan> plan_;
  std::optional<dispatch::Dispatcher> dispatcher_;
  std::optional<items::Gatherer> gatherer_;
  std::optional<Shipper> shipper_;        ///< --ship bytes
  std::vector<wire::Grant> grants_;       ///< by rank: being put together
  std::vector<std::size_t> item_columns_; ///< indices into the manifest
  write::Identity identity_;
  std::string first_reason_;       ///< of the first item that failed
  std::uint64_t failed_alike_ = 0; ///< items that failed for that reason
  bool told_all_fail_ = false;
  std::uint64_t earlier_ = 0; ///< items done by runs that this one goes on with
  double began_s_, first_grant_s_ = 0, last_result_s_ = 0;
  std::string stop_reason_;
  double grace_s_ = setup_.grace_s;
  Suspension suspension_;
  double stop_s_ = 0, stopped_s_ = 0; ///< when a stop was asked for; when no more work was waited for
};

} // namespace mgpu::agent
