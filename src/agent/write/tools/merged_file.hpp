#pragma once
// The file that `merge` makes: created with its full size, filled shard by shard in blocks of rows. Numbers are written without HDF5, which
// buffers some until a dataset is closed and would report a full disk only then.
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agent/write/hdf5/h5.hpp"
#include "agent/write/hdf5/raw_file.hpp"
#include "agent/write/hdf5/strings.hpp"
#include "agent/write/journal/row_block.hpp"
#include "agent/write/tools/list_hash.hpp"
#include "agent/write/tools/shard_files.hpp"

namespace mgpu::agent::write {

/// Rows of the merged file by status.
struct MergedCounts {
  std::uint64_t items = 0, ok = 0, failed = 0, flagged = 0;
};

class MergedFile {
 public:
  /// Creates `path`, which must not exist, for all rows of these shards. Throws Error, also where the disk has no `needed_bytes`.
  MergedFile(const std::string& path, const std::vector<ShardFile>& shards, std::uint64_t needed_bytes);
  MergedFile(const MergedFile&) = delete;
  MergedFile& operator=(const MergedFile&) = delete;

  /// Adds the rows of the next shard; calls `on_rows` with the number of rows done. Throws Error, naming file and row, if a row differs from what
  /// its run wrote.
  void append(const ShardFile& shard, const std::function<void(std::uint64_t)>& on_rows);
  /// After the last shard: writes the tables and attributes of a complete run and syncs the file. `output`, `command`: of the merge. Throws Error if
  /// the list of items is not the one that the shards were cut from.
  void finish(const std::string& output, const std::string& command);
  const MergedCounts& counts() const { return counts_; }

 private:
  struct Column {
    ColumnSpec spec;
    std::uint64_t values_at = 0, offsets_at = 0; ///< bytes in the file where the next values and offsets go
    std::uint64_t elements = 0;                  ///< written, of a ragged column
    std::unique_ptr<StringDataset> texts;        ///< of a text column
  };

  void create_items(const ShardFile& first);
  void create_results();
  std::uint64_t place_of(const h5::Id& dataset) const;
  template <typename T>
  void write(std::uint64_t& at, std::span<const T> values);
  std::uint64_t rows_that_fit(const ReadFile& file, const ShardFile& shard, std::uint64_t first, std::uint64_t count) const;
  void append_rows(const ReadFile& file, const ShardFile& shard, const ListReader& list, std::uint64_t first,
                   std::uint64_t count);
  void append_items(const RowBlock& block, std::int32_t first_rank);
  void append_column(Column& column, const wire::ColumnData* data, std::uint64_t count);
  void append_ragged(Column& column, const wire::ColumnData* data, std::uint64_t count);
  void write_shards() const;
  void write_attributes(const std::string& output, const std::string& command) const;

  const std::vector<ShardFile>& shards_;
  const ShardFile& with_columns_; ///< a shard that has columns, if any has
  h5::Id file_, items_;
  std::unique_ptr<RawFile> raw_;
  std::unique_ptr<RowStage> rows_;
  std::vector<std::uint64_t> items_at_; ///< as item_arrays: bytes in the file where the next rows go
  std::vector<Column> columns_;
  ListHash list_hash_;
  std::vector<std::unique_ptr<StringDataset>> list_; ///< as ListRows
  std::unique_ptr<StringDataset> errors_;
  MergedCounts counts_;
  std::uint64_t block_rows_, block_bytes_ = 0; ///< the next block's rows; bytes of the last one
};

} // namespace mgpu::agent::write
