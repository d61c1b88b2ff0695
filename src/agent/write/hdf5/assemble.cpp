#include "agent/write/hdf5/assemble.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>

#include "agent/write/hdf5/strings.hpp"

namespace mgpu::agent::write {

void RecordIndex::set(std::uint64_t first, std::uint64_t rows, std::uint64_t offset) {
  if (record_of_.empty()) record_of_.resize(items_);
  if (offsets_.size() >= std::numeric_limits<std::uint32_t>::max()) throw Error("more than 4 billion batches in one run");
  offsets_.push_back(offset);
  const auto record = static_cast<std::uint32_t>(offsets_.size());
  std::fill_n(record_of_.begin() + static_cast<std::ptrdiff_t>(first), rows, record);
}

void RecordIndex::clear(std::uint64_t first, std::uint64_t rows) {
  if (!record_of_.empty()) std::fill_n(record_of_.begin() + static_cast<std::ptrdiff_t>(first), rows, 0u);
}

namespace {

constexpr std::uint64_t offsets_block = 65536;

/// /results/NAME/values and offsets of one column.
class RaggedWriter {
 public:
  RaggedWriter(const h5::Id& results, RowStage& rows, const ColumnSpec& spec, const std::vector<std::uint32_t>& counts)
      : rows_(rows), element_bytes_(spec.row_bytes()) {
    const h5::Id group = h5::create_group(results, spec.name);
    const std::uint64_t total = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
    h5::Shape shape{total};
    shape.insert(shape.end(), spec.row_shape.begin(), spec.row_shape.end());
    next_ = h5::offset_of(h5::create_contiguous(group, "values", h5::type_of(spec.type), shape)).value_or(0);
    write_offsets(h5::create_contiguous(group, "offsets", h5::copy(H5T_STD_U64LE), {counts.size() + 1}), counts);
  }

  void push(wire::View values) {
    rows_.write_at(next_, values);
    next_ += values.size();
  }
  std::uint64_t element_bytes() const { return element_bytes_; }

 private:
  void write_offsets(const h5::Id& dataset, const std::vector<std::uint32_t>& counts) {
    std::uint64_t at = h5::offset_of(dataset).value(), sum = 0;
    std::vector<std::uint64_t> block{0};
    for (const std::uint32_t count : counts) {
      block.push_back(sum += count);
      if (block.size() < offsets_block) continue;
      rows_.write_at(at, std::as_bytes(std::span(block)));
      at += block.size() * sizeof(std::uint64_t);
      block.clear();
    }
    rows_.write_at(at, std::as_bytes(std::span(block)));
  }

  RowStage& rows_;
  std::uint64_t element_bytes_, next_ = 0;
};

/// One column of the journal: either ragged or text.
struct Target {
  std::unique_ptr<RaggedWriter> ragged;
  std::unique_ptr<StringDataset> text;
};

class Assembly {
 public:
  Assembly(const h5::Id& file, RowStage& rows, const RecordIndex& index, const std::vector<ColumnSpec>& columns,
           const std::vector<RaggedCounts>& ragged)
      : targets_(columns.size()), errors_(StringDataset::open_blank(h5::open_group(file, "items"), "error")) {
    const h5::Id results = h5::open_group(file, "results");
    for (std::size_t c = 0; c < columns.size(); ++c)
      if (columns[c].layout == Layout::text) {
        targets_[c].text = std::make_unique<StringDataset>(results, columns[c].name, index.items());
        h5::set_position(targets_[c].text->dataset(), c);
      }
    for (const RaggedCounts& column : ragged) {
      targets_[column.column].ragged = std::make_unique<RaggedWriter>(results, rows, columns[column.column], column.counts);
      h5::set_position(h5::open_group(results, columns[column.column].name), column.column);
    }
  }

  void push_nothing(std::uint64_t rows) {
    for (std::uint64_t row = 0; row < rows; ++row) {
      errors_.push({});
      for (Target& target : targets_)
        if (target.text) target.text->push({});
    }
  }

  /// Rows [begin, end) of a batch.
  void push(const wire::BatchResult& batch, std::uint64_t begin, std::uint64_t end) {
    reasons_.assign(batch.rows(), {});
    for (const auto& [row, reason] : batch.errors) reasons_[row] = reason;
    for (std::uint64_t row = begin; row < end; ++row) errors_.push(reasons_[row]);

    std::vector<bool> has_data(targets_.size());
    for (const wire::ColumnData& column : batch.columns) {
      push_column(column, begin, end);
      has_data.at(column.column) = true;
    }
    for (std::size_t c = 0; c < targets_.size(); ++c) // a batch that failed as a whole
      for (std::uint64_t row = begin; row < end && targets_[c].text && !has_data[c]; ++row) targets_[c].text->push({});
  }

  void close() {
    errors_.close();
    for (Target& target : targets_)
      if (target.text) target.text->close();
  }

 private:
  void push_column(const wire::ColumnData& column, std::uint64_t begin, std::uint64_t end) {
    Target& target = targets_.at(column.column);
    const std::uint64_t unit = target.ragged ? target.ragged->element_bytes() : 1;
    const auto before = [&](std::uint64_t row) {
      return unit *
             std::accumulate(column.counts.begin(), column.counts.begin() + static_cast<std::ptrdiff_t>(row), std::uint64_t{0});
    };
    std::uint64_t at = before(begin);
    if (target.ragged) {
      target.ragged->push(column.data.subspan(at, before(end) - at));
      return;
    }
    const auto* text = reinterpret_cast<const char*>(column.data.data());
    for (std::uint64_t row = begin; row < end; at += column.counts[row++]) target.text->push({text + at, column.counts[row]});
  }

  std::vector<Target> targets_;
  StringDataset errors_;
  std::vector<std::string_view> reasons_;
};

} // namespace

void assemble(const h5::Id& file, RowStage& rows, const Journal& journal, const RecordIndex& index,
              const std::vector<ColumnSpec>& columns, const std::vector<RaggedCounts>& ragged) {
  Assembly assembly(file, rows, index, columns, ragged);
  Frame frame;
  for (std::uint64_t item = 0; item < index.items();) {
    const std::uint32_t record = index.record(item);
    std::uint64_t end = item + 1;
    while (end < index.items() && index.record(end) == record) ++end;
    if (record == 0) {
      assembly.push_nothing(end - item);
    } else {
      journal.read(index.offset(record), frame);
      const wire::BatchResult batch = wire::decode_batch_result(frame.payload());
      assembly.push(batch, item - batch.first, end - batch.first);
    }
    item = end;
  }
  assembly.close();
}

} // namespace mgpu::agent::write
