#include "agent/write/tools/merged_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "agent/manifest/text.hpp"
#include "agent/write/hdf5/fill.hpp"
#include "agent/write/hdf5/read_file.hpp"
#include "agent/write/hdf5/running_file.hpp"
#include "agent/write/tools/row_check.hpp"
#include "common/support/text.hpp"

namespace mgpu::agent::write {

namespace {

/// Rows of the first block, and what a block shall take. Texts may have any size, which only reading them tells: the next block follows
/// the size of the last one, and is short where there are any.
constexpr std::uint64_t first_rows = 64, most_rows = 16384, most_text_rows = 1024, block_target_bytes = 8u << 20;

/// Numbers of /items, in the order in which append_items() writes them.
constexpr std::array<const char*, 6> item_arrays{"status", "flags", "attempts", "rank", "seconds", "crc32c"};

const ShardFile& one_with_columns(const std::vector<ShardFile>& shards) {
  const auto found = std::find_if(shards.begin(), shards.end(), [](const ShardFile& shard) { return !shard.columns.empty(); });
  return found == shards.end() ? shards.front() : *found;
}

std::vector<std::string> names_of(const ShardFile& shard) {
  std::vector<std::string> names;
  for (const auto& [name, dataset] : shard.manifest_columns) names.push_back(name);
  return names;
}

Error damaged(const ShardFile& shard, const ReadFile& file, std::uint64_t row, const std::string& why) {
  std::string path = "?";
  try {
    path = manifest::shown(file.item_text("path").value().read(row, 1).at(0));
  } catch (const std::exception&) { // it is damaged, too
  }
  return Error(
      fmt::format("{}: row {} ({}): {}; mgpu_run verify shows all such rows, the command of shard {} with --retry-failed "
                  "--verify does them again",
                  manifest::shown(shard.path), row, path, why, shard.shard().shard.text()));
}

/// What cannot be read as a whole is looked for row by row.
void read_block(std::optional<RowBlock>& block, const ReadFile& file, const ShardFile& shard, std::uint64_t first,
                std::uint64_t count) {
  try {
    block.emplace(file, shard.columns, first, count);
  } catch (const Error& error) {
    for (std::uint64_t row = first; row < first + count; ++row) try {
        const RowBlock one(file, shard.columns, row, 1);
      } catch (const Error& why) {
        throw damaged(shard, file, row, fmt::format("it cannot be read: {}", printable(why.what())));
      }
    throw;
  }
}

void check_rows(const RowBlock& block, const ReadFile& file, const ShardFile& shard, const std::vector<std::string>& errors) {
  for (std::size_t row = 0; row < block.result().rows(); ++row) {
    const std::uint64_t at = block.result().first + row;
    const std::string wrong = wrong_in_row(block, shard.columns, row, true, [&] { return errors[row]; });
    if (!wrong.empty()) throw damaged(shard, file, at, wrong);
    if (block.result().status[row] == static_cast<std::uint8_t>(Status::pending))
      throw damaged(shard, file, at, "it has no result, though its run is complete");
  }
}

} // namespace

MergedFile::MergedFile(const std::string& path, const std::vector<ShardFile>& shards, std::uint64_t needed_bytes)
    : shards_(shards),
      with_columns_(one_with_columns(shards)),
      file_(h5::create_file(path)),
      items_(h5::create_group(file_, "items")),
      raw_(std::make_unique<RawFile>(path, RawFile::Mode::modify)),
      rows_(std::make_unique<RowStage>(*raw_)),
      list_hash_(names_of(shards.front())),
      block_rows_(first_rows) {
  raw_->set_advice("merge again");
  raw_->set_needed_bytes(needed_bytes);
  require_room(*raw_, needed_bytes);
  counts_.items = shards.front().shard().all_items;
  create_items(shards.front());
  create_results();
}

/// A dataset without bytes has no place.
std::uint64_t MergedFile::place_of(const h5::Id& dataset) const {
  return h5::offset_of(dataset).value_or(0);
}

/// Writes the next values of the array that continues at `at`.
template <typename T>
void MergedFile::write(std::uint64_t& at, std::span<const T> values) {
  const wire::View bytes = std::as_bytes(values);
  rows_->write_at(at, bytes);
  at += bytes.size();
}

void MergedFile::create_items(const ShardFile& first) {
  const ReadFile file = open_shard(first);
  const h5::Id theirs = h5::open_group(file.file(), "items");
  for (const char* name : item_arrays)
    items_at_.push_back(
        place_of(h5::create_contiguous(items_, name, h5::type_in(h5::open_dataset(theirs, name)), {counts_.items})));
  errors_ = std::make_unique<StringDataset>(items_, "error", counts_.items);
  list_.push_back(std::make_unique<StringDataset>(items_, "path", counts_.items));
  for (const std::string& name : list_hash_.columns()) {
    const auto pair = std::find_if(first.manifest_columns.begin(), first.manifest_columns.end(),
                                   [&](const auto& each) { return each.first == name; });
    list_.push_back(std::make_unique<StringDataset>(items_, pair->second, counts_.items));
    if (pair->second != name) h5::set_attribute(list_.back()->dataset(), "manifest_column", name);
  }
}

void MergedFile::create_results() {
  const h5::Id results = h5::create_group(file_, "results");
  const std::vector<ColumnSpec>& specs = with_columns_.columns;
  for (std::size_t c = 0; c < specs.size(); ++c) {
    Column& column = columns_.emplace_back();
    column.spec = specs[c];
    h5::Shape shape{counts_.items};
    if (column.spec.layout == Layout::ragged) {
      shape[0] = 0;
      for (const ShardFile& shard : shards_) shape[0] += shard.elements.empty() ? 0 : shard.elements[c];
    }
    shape.insert(shape.end(), column.spec.row_shape.begin(), column.spec.row_shape.end());
    if (column.spec.layout == Layout::text) {
      column.texts = std::make_unique<StringDataset>(results, column.spec.name, counts_.items);
      h5::set_position(column.texts->dataset(), c);
    } else if (column.spec.layout == Layout::fixed) {
      const h5::Id dataset = h5::create_contiguous(results, column.spec.name, h5::type_of(column.spec.type), shape);
      column.values_at = place_of(dataset);
      h5::set_position(dataset, c);
    } else {
      const h5::Id group = h5::create_group(results, column.spec.name);
      column.values_at = place_of(h5::create_contiguous(group, "values", h5::type_of(column.spec.type), shape));
      column.offsets_at = place_of(h5::create_contiguous(group, "offsets", h5::copy(H5T_STD_U64LE), {counts_.items + 1}));
      write(column.offsets_at, std::span<const std::uint64_t>(&column.elements, 1));
      h5::set_position(group, c);
    }
  }
}

void MergedFile::append(const ShardFile& shard, const std::function<void(std::uint64_t)>& on_rows) {
  const ReadFile file = open_shard(shard);
  const ListReader list(file, list_hash_.columns());
  for (std::uint64_t first = 0; first < shard.identity.items;) {
    const std::uint64_t count = rows_that_fit(file, shard, first, std::min(block_rows_, shard.identity.items - first));
    append_rows(file, shard, list, first, count);
    first += count;
    const std::uint64_t fitting = count * block_target_bytes / std::max<std::uint64_t>(block_bytes_, 1);
    const bool texts =
        std::any_of(columns_.begin(), columns_.end(), [](const Column& column) { return column.texts != nullptr; });
    block_rows_ = std::clamp<std::uint64_t>(std::min(fitting, 2 * block_rows_), 1, texts ? most_text_rows : most_rows);
    on_rows(shard.shard().first + first);
  }
}

/// At most `count` rows from `first` on, whose ragged values take no more than a block; one at least.
std::uint64_t MergedFile::rows_that_fit(const ReadFile& file, const ShardFile& shard, std::uint64_t first,
                                        std::uint64_t count) const {
  for (const ColumnSpec& column : shard.columns) {
    if (column.layout != Layout::ragged || column.row_bytes() == 0) continue;
    const std::vector<std::uint64_t> offsets = file.ragged_offsets(column, first, count);
    const std::uint64_t most = offsets.front() + block_target_bytes / column.row_bytes();
    const auto end =
        std::upper_bound(offsets.begin() + 2, offsets.end(), most); // offsets that do not rise are found by read_block()
    count = static_cast<std::uint64_t>(end - offsets.begin()) - 1;
  }
  return count;
}

void MergedFile::append_rows(const ReadFile& file, const ShardFile& shard, const ListReader& list, std::uint64_t first,
                             std::uint64_t count) {
  std::optional<RowBlock> block;
  read_block(block, file, shard, first, count);
  const std::vector<std::string> errors = file.item_text("error").value().read(first, count);
  check_rows(*block, file, shard, errors);
  const ListRows rows = list.read(first, count);
  list_hash_.add(rows);

  block_bytes_ = 0;
  const auto push = [&](StringDataset& dataset, const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      dataset.push(text);
      block_bytes_ += text.size() + 1;
    }
  };
  push(*errors_, errors);
  for (std::size_t c = 0; c < rows.size(); ++c) push(*list_[c], rows[c]);
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    const wire::ColumnData* data = shard.columns.empty() ? nullptr : &block->result().columns[c];
    if (data != nullptr) block_bytes_ += data->data.size();
    append_column(columns_[c], data, count);
  }
  append_items(*block, shard.first_rank);
}

void MergedFile::append_items(const RowBlock& block, std::int32_t first_rank) {
  const wire::BatchResult& result = block.result();
  const std::uint64_t count = result.rows();
  std::vector<std::int32_t> ranks;
  std::vector<std::uint16_t> attempts;
  for (std::size_t row = 0; row < count; ++row) {
    ranks.push_back(block.rank(row) < 0 ? block.rank(row) : first_rank + block.rank(row));
    attempts.push_back(block.attempts(row));
    counts_.ok += result.status[row] == static_cast<std::uint8_t>(Status::ok) ? 1 : 0;
    counts_.failed += result.status[row] == static_cast<std::uint8_t>(Status::failed) ? 1 : 0;
    counts_.flagged += result.flags[row] == flag_none ? 0 : 1;
  }
  auto at = items_at_.begin(); // in the order of item_arrays
  write(*at++, result.status);
  write(*at++, result.flags);
  write(*at++, std::span<const std::uint16_t>(attempts));
  write(*at++, std::span<const std::int32_t>(ranks));
  write(*at++, result.seconds);
  write(*at++, result.crcs);
}

/// `data`: nullptr where the shard has no columns, because all of its rows failed.
void MergedFile::append_column(Column& column, const wire::ColumnData* data, std::uint64_t count) {
  if (column.spec.layout == Layout::ragged) return append_ragged(column, data, count);
  if (column.texts) {
    const char* text = data == nullptr ? nullptr : reinterpret_cast<const char*>(data->data.data());
    for (std::uint64_t row = 0; row < count; ++row) {
      const std::uint32_t size = data == nullptr ? 0 : data->counts[row];
      column.texts->push({text, size});
      text += size;
    }
    return;
  }
  const std::uint64_t row_bytes = column.spec.row_bytes();
  if (row_bytes == 0) return;
  if (data != nullptr) return write(column.values_at, data->data);
  const wire::Buffer blank = filled_rows(column.spec, count);
  const std::uint64_t blank_rows = blank.size() / row_bytes;
  for (std::uint64_t row = 0; row < count; row += blank_rows)
    write(column.values_at, wire::View(blank).first(std::min(blank_rows, count - row) * row_bytes));
}

void MergedFile::append_ragged(Column& column, const wire::ColumnData* data, std::uint64_t count) {
  std::vector<std::uint64_t> offsets;
  for (std::uint64_t row = 0; row < count; ++row) offsets.push_back(column.elements += data == nullptr ? 0 : data->counts[row]);
  write(column.offsets_at, std::span<const std::uint64_t>(offsets));
  if (data != nullptr) write(column.values_at, data->data);
}

} // namespace mgpu::agent::write
