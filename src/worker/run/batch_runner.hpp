#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/support/faults.hpp"
#include "common/wire/activity_table.hpp"
#include "mgpu/columns.hpp"
#include "mgpu/tensor.hpp"
#include "mgpu/work.hpp"
#include "worker/batch/loaded_batch.hpp"
#include "worker/batch/micro_batch.hpp"
#include "worker/device/device_streams.hpp"

namespace mgpu::worker {

/// The outputs of rows [begin, end) of a batch, on the host, one entry per column in the announced order.
struct Piece {
  struct Column {
    torch::Tensor fixed;
    std::vector<torch::Tensor> ragged;
    std::vector<std::string> text;
  };
  std::size_t begin = 0, end = 0;
  std::vector<Column> columns;
};

/// A batch whose run was started.
struct RanBatch {
  std::unique_ptr<LoadedBatch> batch;
  Uploaded uploaded;
  std::vector<Piece> pieces;          ///< usually one, several after halving; rows in none of them have failed
  DeviceEvent done;                   ///< when it has finished, the pieces can be read
  wire::ActivitySlot* slot = nullptr; ///< the slot in which it is recorded as running
  std::chrono::steady_clock::time_point begin;
};

/// Removes all rows of a cut batch but the wanted ones.
void keep_wanted(RanBatch& ran);
/// Rows [begin, end) of a batch that has run, as a batch of their own; without its items.
RanBatch rows_of(const RanBatch& ran, std::size_t begin, std::size_t end);

/// Calls Work::run. A batch that throws is halved repeatedly, down to single rows, so that only rows that fail alone are lost,
/// always in the same way for the same batch. After running out of memory later batches are processed in pieces of the size that
/// fitted, which grows again.
class BatchRunner {
 public:
  /// `warn` gets a line when batches must be processed in smaller pieces.
  using Warn = std::function<void(const std::string&)>;
  BatchRunner(Work& work, DeviceStreams& streams, std::int64_t batch_size, Faults faults, Warn warn)
      : work_(work), streams_(streams), faults_(std::move(faults)), warn_(std::move(warn)), micro_(batch_size) {}

  /// The columns, once known: from trial() or the first batch.
  const std::vector<ColumnSpec>& columns() const { return columns_; }
  bool columns_known() const { return known_; }

  /// Runs the job's trial row at full batch size to determine the columns; does nothing if the job has none. Throws usage_error:
  /// a model that cannot run on its own input shape must end the run before any work.
  void trial(const std::optional<RowSpec>& row_spec, std::int64_t batch_size);

  /// Starts a run; the reasons of failed rows are stored in batch.errors. Throws only when the device is lost.
  RanBatch run(std::unique_ptr<LoadedBatch> batch, Uploaded uploaded);

 private:
  Error trial_error(std::int64_t rows, const std::exception& error);
  void run_trial(const torch::Tensor& row, bool with_lengths, std::int64_t batch_size);
  void run_rows(RanBatch& ran, std::size_t begin, std::size_t end);
  void note_memory_ran_out(std::size_t before);
  void attempt(RanBatch& ran, std::size_t begin, std::size_t end);
  void spoil(const LoadedBatch& batch, std::size_t begin, Outputs& outputs) const;
  Batch view(const RanBatch& ran, std::size_t begin, std::size_t end) const;
  std::vector<torch::Tensor> rows_to_host(const std::vector<torch::Tensor>& rows);
  Piece to_host(Outputs& outputs, std::size_t begin, std::size_t end);

  Work& work_;
  DeviceStreams& streams_;
  Faults faults_;
  Warn warn_;
  MicroBatch micro_;
  bool ran_out_ = false; ///< out of memory in the current batch
  std::vector<ColumnSpec> columns_;
  bool known_ = false;
};

} // namespace mgpu::worker
