#pragma once
// Results arriving on rank 0: checked, counted, handed to the writer in place.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/wire/batch_result.hpp"

namespace mgpu::agent::items {

/// One item that failed, for the person who watches.
struct FailedItem {
  std::uint64_t item = 0;
  std::string reason;
  Cause cause = Cause::item;
};

/// What one batch amounted to.
struct Accepted {
  std::uint64_t batch = 0, first = 0;
  std::uint32_t rows = 0, failed = 0, flagged = 0;
};

/// Running totals.
class Gatherer {
 public:
  /// Workers number items from `first_item` on, everything here from 0.
  Gatherer(std::uint64_t items, std::uint32_t batch_size, std::uint64_t first_item = 0)
      : items_(items), batch_size_(batch_size), first_item_(first_item) {}

  /// What results must have; before the first with a good row.
  void set_columns(std::vector<ColumnSpec> columns) { columns_ = std::move(columns); }
  /// Reads a block's head and checks that it is whole, speaks of rows of the manifest and has the columns; throws wire::Malformed otherwise.
  /// The result's `first` is counted from 0, unlike the block's.
  wire::BatchResult open(wire::View block) const;
  /// Counts an opened block; calls `failed` for each failed row.
  Accepted count(const wire::BatchResult& result, const std::function<void(const FailedItem&)>& failed);

  /// Counts what earlier runs have done.
  void begin_with(std::uint64_t done, std::uint64_t failed, std::uint64_t flagged) {
    done_ = done;
    failed_ = failed;
    flagged_ = flagged;
  }
  std::uint64_t done() const { return done_; }
  std::uint64_t failed() const { return failed_; }
  std::uint64_t flagged() const { return flagged_; }

 private:
  void check_columns(const wire::BatchResult& result) const;

  std::vector<ColumnSpec> columns_;
  std::uint64_t items_;
  std::uint32_t batch_size_;
  std::uint64_t first_item_;
  std::uint64_t done_ = 0, failed_ = 0, flagged_ = 0;
};

} // namespace mgpu::agent::items
