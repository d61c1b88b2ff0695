#include "common/wire/batch_result.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <numeric>

namespace mgpu::wire {

namespace {

constexpr std::uint64_t block_magic = 0x32746c757365722eULL; // ".result2": identifies foreign and overwritten blocks

/// The fixed part of a block, in this order; every member is naturally aligned, so there is no hidden padding.
struct BlockHeader {
  std::uint64_t magic = block_magic;
  std::uint64_t size_bytes = 0; ///< of the whole block
  std::uint64_t batch = 0, first = 0;
  std::uint32_t attempt = 0, rows = 0, errors = 0, columns = 0;
};
static_assert(sizeof(BlockHeader) == 48);

struct ColumnHeader {
  std::uint64_t data_bytes = 0;
  std::uint32_t column = 0;
  std::uint32_t has_counts = 0;
};
static_assert(sizeof(ColumnHeader) == 16);

/// Writes a block from its start; with out == nullptr it only measures, so that size and layout cannot differ.
class BlockWriter {
 public:
  explicit BlockWriter(std::byte* out) : out_(out) {}

  void append(const void* data, std::size_t size) {
    if (out_ != nullptr && data != nullptr && size > 0) std::memcpy(out_ + at_, data, size);
    at_ += size;
  }
  void append_zeros(std::size_t size) {
    if (out_ != nullptr) std::memset(out_ + at_, 0, size);
    at_ += size;
  }
  void align(std::size_t alignment) { // with zeros: equal results give equal blocks, whatever the memory had before
    append_zeros((at_ + alignment - 1) / alignment * alignment - at_);
  }
  std::byte* position() const { return out_ == nullptr ? nullptr : out_ + at_; }
  std::size_t size() const { return at_; }

 private:
  std::byte* out_;
  std::size_t at_ = 0;
};

BlockPlaces write_block(const BatchResult& result, std::uint64_t size_bytes, BlockWriter& block) {
  BlockHeader header;
  header.size_bytes = size_bytes;
  header.batch = result.batch;
  header.first = result.first;
  header.attempt = result.attempt;
  header.rows = static_cast<std::uint32_t>(result.rows());
  header.errors = static_cast<std::uint32_t>(result.errors.size());
  header.columns = static_cast<std::uint32_t>(result.columns.size());
  block.append(&header, sizeof header);
  block.append(result.seconds.data(), result.seconds.size_bytes());
  BlockPlaces places;
  places.crcs = reinterpret_cast<std::uint32_t*>(block.position());
  if (result.crcs.empty())
    block.append_zeros(result.rows() * sizeof(std::uint32_t));
  else
    block.append(result.crcs.data(), result.crcs.size_bytes());
  block.append(result.status.data(), result.status.size_bytes());
  block.append(result.flags.data(), result.flags.size_bytes());
  for (std::size_t i = 0; i < result.errors.size(); ++i) {
    const auto& [row, reason] = result.errors[i];
    block.align(sizeof(std::uint32_t));
    const std::uint32_t head[3] = {row, static_cast<std::uint32_t>(result.cause(i)), static_cast<std::uint32_t>(reason.size())};
    block.append(head, sizeof head);
    block.append(reason.data(), reason.size());
  }
  places.data.reserve(result.columns.size());
  for (const ColumnData& column : result.columns) {
    block.align(alignof(ColumnHeader));
    const ColumnHeader head{column.data.size(), column.column, column.counts.empty() ? 0u : 1u};
    block.append(&head, sizeof head);
    block.append(column.counts.data(), column.counts.size_bytes());
    block.align(block_alignment);
    places.data.push_back(block.position());
    block.append(column.data.data(), column.data.size());
  }
  block.align(block_alignment);
  return places;
}

template <typename T>
std::span<const T> take_values(Decoder& in, std::size_t count) {
  const View bytes = in.take(count * sizeof(T)); // count comes from a 32-bit field: no overflow
  return {reinterpret_cast<const T*>(bytes.data()), count};
}

void check_consistent(const BatchResult& result) {
  if (result.flags.size() != result.rows() || result.seconds.size() != result.rows() ||
      (!result.crcs.empty() && result.crcs.size() != result.rows()))
    throw Error("wire: a batch result whose status, flags, seconds and CRCs differ in length");
  for (const ColumnData& column : result.columns)
    if (!column.counts.empty() && column.counts.size() != result.rows())
      throw Error("wire: a batch result with another number of counts than rows");
  if (!result.causes.empty() && result.causes.size() != result.errors.size())
    throw Error("wire: a batch result with another number of causes than errors");
}

/// Rows [begin, end) of a column of `rows` rows.
ColumnData part_of(const ColumnData& column, std::size_t rows, std::size_t begin, std::size_t end) {
  if (column.counts.empty()) {
    const std::size_t row_bytes = column.data.size() / rows;
    return {column.column, {}, column.data.subspan(begin * row_bytes, (end - begin) * row_bytes)};
  }
  const auto sum = [&](std::size_t from, std::size_t to) {
    return std::accumulate(column.counts.begin() + static_cast<std::ptrdiff_t>(from),
                           column.counts.begin() + static_cast<std::ptrdiff_t>(to), std::size_t{0});
  };
  const std::size_t all = sum(0, rows), element_bytes = all == 0 ? 0 : column.data.size() / all;
  return {column.column, column.counts.subspan(begin, end - begin),
          column.data.subspan(sum(0, begin) * element_bytes, sum(begin, end) * element_bytes)};
}

} // namespace

std::size_t encoded_size(const BatchResult& result) {
  BlockWriter measure(nullptr);
  write_block(result, 0, measure);
  return measure.size();
}

BlockPlaces encode(const BatchResult& result, std::byte* out) {
  check_consistent(result);
  BlockWriter block(out);
  return write_block(result, encoded_size(result), block);
}

BatchResult decode_batch_result(View block) {
  if (reinterpret_cast<std::uintptr_t>(block.data()) % alignof(BlockHeader) != 0)
    throw Malformed("wire: a batch result does not begin on an 8-byte boundary");
  Decoder in(block);
  BlockHeader header;
  std::memcpy(&header, in.take(sizeof header).data(), sizeof header);
  if (header.magic != block_magic) throw Malformed("wire: not a batch result");
  if (header.size_bytes != block.size()) throw Malformed("wire: a batch result is torn");

  BatchResult result;
  result.batch = header.batch;
  result.first = header.first;
  result.attempt = header.attempt;
  result.seconds = take_values<float>(in, header.rows);
  result.crcs = take_values<std::uint32_t>(in, header.rows);
  result.status = take_values<std::uint8_t>(in, header.rows);
  result.flags = take_values<std::uint8_t>(in, header.rows);
  if (std::any_of(result.status.begin(), result.status.end(), [](std::uint8_t s) { return s > 2; }))
    throw Malformed("wire: a batch result with an unknown status");
  for (std::uint32_t i = 0; i < header.errors; ++i) {
    in.align(sizeof(std::uint32_t));
    const auto row = in.get<std::uint32_t>(), cause = in.get<std::uint32_t>();
    const View reason = in.take(in.get<std::uint32_t>());
    if (row >= header.rows) throw Malformed("wire: a batch result with an error for a row it does not have");
    if (cause > static_cast<std::uint32_t>(Cause::memory))
      throw Malformed("wire: a batch result with an unknown cause of a failure");
    result.causes.push_back(static_cast<Cause>(cause));
    result.errors.emplace_back(row, std::string_view(reinterpret_cast<const char*>(reason.data()), reason.size()));
  }
  for (std::uint32_t i = 0; i < header.columns; ++i) {
    in.align(alignof(ColumnHeader));
    const auto data_bytes = in.get<std::uint64_t>();
    ColumnData column;
    column.column = in.get<std::uint32_t>();
    if (in.get<std::uint32_t>() != 0) column.counts = take_values<std::uint32_t>(in, header.rows);
    in.align(block_alignment);
    column.data = in.take(data_bytes);
    result.columns.push_back(column);
  }
  in.align(block_alignment);
  if (in.rest() != 0) throw Malformed("wire: a batch result has bytes left over");
  return result;
}

BatchResult part_of(const BatchResult& result, std::size_t begin, std::size_t end) {
  BatchResult part;
  part.batch = result.batch;
  part.first = result.first + begin;
  part.attempt = result.attempt;
  part.status = result.status.subspan(begin, end - begin);
  part.flags = result.flags.subspan(begin, end - begin);
  part.seconds = result.seconds.subspan(begin, end - begin);
  if (!result.crcs.empty()) part.crcs = result.crcs.subspan(begin, end - begin);
  for (std::size_t i = 0; i < result.errors.size(); ++i) {
    const auto& [row, reason] = result.errors[i];
    if (row < begin || row >= end) continue;
    part.errors.emplace_back(static_cast<std::uint32_t>(row - begin), reason);
    part.causes.push_back(result.cause(i));
  }
  for (const ColumnData& column : result.columns) part.columns.push_back(part_of(column, result.rows(), begin, end));
  return part;
}

} // namespace mgpu::wire
