#pragma once
// The result file of a run as a workload sees it: made while the models open, filled while they work, completed at the end.
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

  /// Goes on with what earlier runs left; what that is, or nothing: then start() must follow. Reads the journal and the model, which takes
  /// its time. Throws usage_error when they were other runs.
  std::optional<write::Earlier> resume(int world_size, write::Identity identity, const OnReading& on_reading);
  /// Begins to make the file, unless there is one to go on with, and to hash the model, on threads of their own. `by_items`: the run
  /// can be gone on with later, item by item.
  void start(int world_size, const write::Identity& identity, bool by_items);
  /// The output columns, as each rank announces them; throws Error when two ranks differ.
  void set_columns(const std::vector<ColumnSpec>& columns);
  /// Queues a block of results. Waits only where the file is still being made.
  void put(write::Block block);
  /// The disk is slower than the ranks, or the file is still being made.
  bool full() const { return writer_ ? writer_->full() : file_.valid(); }
  /// Throws what the writer met. To be called often: begins to write when the file is made, and tells it the model's hash when that is known.
  void check();
  double busy_fraction() const { return writer_ ? writer_->busy_fraction() : 0; }
  /// Writes everything that is left and closes the file.
  /// `adjust` sees each rank's row before it is written.
  write::Footer finish(bool complete, const RankTable& rank_table, std::vector<write::Series> training = {},
                       const std::function<void(write::RankRow&)>& adjust = {});
  /// Removes a file that was made but has nothing in it.
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
