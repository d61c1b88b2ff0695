#pragma once
// Checks and counts the results that arrive on rank 0.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/wire/batch_result.hpp"

namespace mgpu::agent::items {

/// One failed item.
struct FailedItem {
  std::uint64_t item = 0;
  std::string reason;
  Cause cause = Cause::item;
};

/// The counts of one result.
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

  /// Sets the columns that results must have; before the first result with a good row.
  void set_columns(std::vector<ColumnSpec> columns) { columns_ = std::move(columns); }
  /// Decodes a block; throws wire::Malformed unless it is complete, has the columns and refers to rows of the manifest. The result's
  /// `first` is counted from 0, unlike the block's.
  wire::BatchResult open(wire::View block) const;
  /// Counts an opened block; calls `failed` for each failed row.
  Accepted count(const wire::BatchResult& result, const std::function<void(const FailedItem&)>& failed);

  /// Starts with the counts of earlier runs.
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
