#pragma once
// The result file of a run, for workloads: created while the models open, filled during the run, completed at the end.
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/coordinator/model_hash.hpp"
#include "agent/coordinator/rank_table.hpp"
#include "agent/setup/run_setup.hpp"
#include "agent/write/hdf5/writer.hpp"

namespace mgpu::agent {

class Output {
 public:
  explicit Output(const RunSetup& setup) : setup_(setup) {}

  /// Continues the file of earlier runs and returns what they did; nullopt if there is none: then start() must follow. Reads the
  /// journal and the model, which may take long. Throws usage_error when the earlier run was a different one.
  std::optional<write::Earlier> resume(int world_size, write::Identity identity, const OnReading& on_reading);
  /// Starts to create the file, unless resume() opened one, and to hash the model, both in the background. `by_items`: the run
  /// can be resumed item by item.
  void start(int world_size, const write::Identity& identity, bool by_items);
  /// The output columns, as each rank announces them; throws Error when two ranks differ.
  void set_columns(const std::vector<ColumnSpec>& columns);
  /// Queues results. Waits only while the file is being created.
  void put(write::Block block);
  void put(write::Rows rows);
  /// The disk is slower than the ranks, or the file is still being created.
  bool full() const { return writer_ ? writer_->full() : file_.valid(); }
  /// Throws the writer's error. Call it often: it starts the writer when the file is created, and passes on the model's hash when
  /// it is known.
  void check();
  double busy_fraction() const { return writer_ ? writer_->busy_fraction() : 0; }
  /// Writes all remaining results and closes the file. `adjust` may change each rank's row before it is written.
  write::Footer finish(bool complete, const RankTable& rank_table, std::vector<write::Series> training = {},
                       const std::function<void(write::RankRow&)>& adjust = {});
  /// Removes a file without results.
  void discard() noexcept;

 private:
  write::Writer& writer();
  write::Header header(int world_size) const;
  const RunSetup& setup_;
  std::future<std::unique_ptr<write::ResultFile>> file_;
  std::unique_ptr<write::Writer> writer_;
  std::optional<std::vector<ColumnSpec>> columns_;
  std::unique_ptr<ModelHash> model_hash_;
  std::string model_sha256_; ///< "": not known yet
  bool told_hash_ = false;
};

} // namespace mgpu::agent
