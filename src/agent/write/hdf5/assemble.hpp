#pragma once
// Puts results from their order of arrival into the order of the manifest.
#include <cstdint>
#include <string>
#include <vector>

#include "agent/write/hdf5/h5.hpp"
#include "agent/write/journal/journal.hpp"

namespace mgpu::agent::write {

/// The place of each item's newest record in the journal: 4 bytes per item, 8 per record; nothing while there is no record.
class RecordIndex {
 public:
  explicit RecordIndex(std::uint64_t items) : items_(items) {}
  /// Items [first, first + rows) are described by the frame at `offset`.
  void set(std::uint64_t first, std::uint64_t rows, std::uint64_t offset);
  /// These items have no record any more.
  void clear(std::uint64_t first, std::uint64_t rows);
  std::uint64_t items() const { return items_; }
  /// Number of an item's record, 0: none.
  std::uint32_t record(std::uint64_t item) const { return record_of_.empty() ? 0 : record_of_[item]; }
  std::uint64_t offset(std::uint32_t record) const { return offsets_[record - 1]; }

 private:
  std::uint64_t items_;
  std::vector<std::uint32_t> record_of_;
  std::vector<std::uint64_t> offsets_;
};

/// A ragged column during the run: the number of elements of each row.
struct RaggedCounts {
  std::uint32_t column = 0;
  std::vector<std::uint32_t> counts; ///< [N]
};

/// Writes /items/error, /results/TEXT and /results/RAGGED/{values,offsets}. `rows` writes to the same file as `file`; memory is
/// bounded by the largest batch.
void assemble(const h5::Id& file, RowStage& rows, const Journal& journal, const RecordIndex& index,
              const std::vector<ColumnSpec>& columns, const std::vector<RaggedCounts>& ragged);

} // namespace mgpu::agent::write
