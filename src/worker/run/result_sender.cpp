#include "worker/run/result_sender.hpp"

#include <fmt/format.h>

#include <memory>
#include <numeric>

#include "common/support/clock.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/row_crc.hpp"
#include "worker/run/fill.hpp"

namespace mgpu::worker {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds room_timeout{2000};
constexpr std::size_t longest_reason = 1000;

/// The first line, without further text that some libraries append.
std::string one_line(const std::string& text) {
  std::string line = text.substr(0, std::min(text.find('\n'), longest_reason));
  while (!line.empty() && line.size() < text.size() && (static_cast<unsigned char>(text[line.size()]) & 0xC0) == 0x80)
    line.pop_back(); // never inside a UTF-8 character
  return line;
}

} // namespace

void ResultSender::describe_rows(const RanBatch& ran, double run_s) {
  const LoadedBatch& batch = *ran.batch;
  const std::size_t rows = batch.rows();
  status_.assign(rows, static_cast<std::uint8_t>(Status::ok));
  flags_.assign(rows, flag_none);
  seconds_.resize(rows);
  reasons_.clear();
  reasons_.reserve(rows); // result_.errors points into it
  result_.errors.clear();
  result_.causes.clear();
  const auto share_s = static_cast<float>(run_s / static_cast<double>(rows));
  for (std::size_t row = 0; row < rows; ++row) {
    seconds_[row] = batch.seconds[row] + share_s;
    if (batch.ok(row)) continue;
    status_[row] = static_cast<std::uint8_t>(Status::failed);
    result_.errors.emplace_back(static_cast<std::uint32_t>(row), reasons_.emplace_back(one_line(batch.errors[row])));
    result_.causes.push_back(batch.causes[row]);
  }
  result_.batch = batch.range.batch;
  result_.first = batch.range.first;
  result_.attempt = batch.range.attempt;
  result_.status = status_;
  result_.flags = flags_;
  result_.seconds = seconds_;
}

void ResultSender::describe_columns(const RanBatch& ran, const std::vector<ColumnSpec>& columns) {
  counts_.resize(columns.size());
  result_.columns.clear();
  for (std::size_t i = 0; i < columns.size(); ++i) {
    wire::ColumnData data{static_cast<std::uint32_t>(i), {}, {}};
    flag_rows(columns[i], i, ran.pieces, status_, flags_);
    std::size_t bytes = ran.batch->rows() * columns[i].row_bytes();
    if (columns[i].layout != Layout::fixed) {
      count_rows(columns[i], i, ran.pieces, status_, counts_[i]);
      data.counts = counts_[i];
      const std::size_t total = std::accumulate(counts_[i].begin(), counts_[i].end(), std::size_t{0});
      bytes = total * (columns[i].layout == Layout::text ? 1 : columns[i].row_bytes());
    }
    data.data = wire::View(static_cast<const std::byte*>(nullptr), bytes); // only the size: fill() writes in place
    result_.columns.push_back(data);
  }
}

void ResultSender::fill(const RanBatch& ran, const std::vector<ColumnSpec>& columns, std::byte* block) {
  const wire::BlockPlaces places = wire::encode(result_, block);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].layout == Layout::fixed)
      fill_fixed(columns[i], i, ran.pieces, status_, places.data[i]);
    else
      fill_varying(columns[i], i, ran.pieces, counts_[i], places.data[i]);
    result_.columns[i].data = wire::View(places.data[i], result_.columns[i].data.size());
  }
  wire::make_row_crcs(result_, columns, places.crcs);
}

std::optional<wire::SharedRange> ResultSender::room(std::size_t size) {
  if (size > allocator_.size()) return std::nullopt;
  if (auto range = allocator_.allocate(size, std::chrono::milliseconds(0))) return range;
  flush(); // the agent cannot free results that are not announced
  const auto begin = Clock::now();
  const auto range = allocator_.allocate(size, room_timeout);
  wait_s_ += seconds(Clock::now() - begin);
  return range;
}

void ResultSender::add(const RanBatch& ran, const std::vector<ColumnSpec>& columns, double run_s) {
  describe_rows(ran, run_s);
  describe_columns(ran, columns);
  const std::size_t size = wire::encoded_size(result_);
  if (size > largest_block_) return add_parts(ran, columns, run_s, size);
  items_ += ran.batch->rows();
  failed_ += reasons_.size();
  const auto range = room(size);
  if (!range) return send_inline(ran, columns, size);
  fill(ran, columns, ring_.data() + range->offset);
  pending_.push_back({range->offset, size});
}

/// Sends a result in parts, which rank 0 accepts. A row that is too large by itself fails.
void ResultSender::add_parts(const RanBatch& ran, const std::vector<ColumnSpec>& columns, double run_s, std::size_t size) {
  const std::size_t rows = ran.batch->rows(), middle = rows / 2;
  if (rows > 1) {
    const double share = static_cast<double>(middle) / static_cast<double>(rows);
    add(rows_of(ran, 0, middle), columns, run_s * share);
    return add(rows_of(ran, middle, rows), columns, run_s * (1 - share));
  }
  RanBatch failed = rows_of(ran, 0, 1);
  if (!failed.batch->ok(0))
    throw Error("a failed row does not fit into a result"); // its reason is truncated, its columns are blank
  failed.batch->fail(0, fmt::format("its result takes {} bytes, limit {}", size, largest_block_), Cause::item);
  failed.pieces.clear();
  add(failed, columns, run_s);
}

void ResultSender::send_inline(const RanBatch& ran, const std::vector<ColumnSpec>& columns, std::size_t size) {
  flush(); // keeps the order of results
  const std::unique_ptr<std::byte[], void (*)(std::byte*)> block(
      static_cast<std::byte*>(::operator new[](size, std::align_val_t{wire::block_alignment})),
      [](std::byte* memory) { ::operator delete[](memory, std::align_val_t{wire::block_alignment}); });
  fill(ran, columns, block.get());
  const auto begin = Clock::now();
  channel_.send(wire::Type::results, wire::View(block.get(), size));
  wait_s_ += seconds(Clock::now() - begin);
}

void ResultSender::flush() {
  if (pending_.empty()) return;
  const auto begin = Clock::now();
  for (std::size_t i = 0; i + 1 < pending_.size(); ++i) channel_.post(wire::Type::shared_results, pending_[i]);
  channel_.send(wire::Type::shared_results, pending_.back());
  pending_.clear();
  wait_s_ += seconds(Clock::now() - begin);
}

} // namespace mgpu::worker
