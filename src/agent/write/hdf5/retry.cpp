// --retry-failed: processes the failed rows of an earlier run again, with all rows of their batches.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>

#include "agent/manifest/text.hpp"
#include "agent/write/hdf5/read_file.hpp"
#include "agent/write/hdf5/running_file.hpp"
#include "agent/write/journal/row_block.hpp"

namespace mgpu::agent::write {

namespace {

constexpr std::uint64_t commit_bytes = 64u << 20;

bool all_ok_as_sent(const RowBlock& block, std::size_t begin, std::size_t end) {
  for (std::size_t row = begin; row < end; ++row)
    if (block.result().status[row] != static_cast<std::uint8_t>(Status::ok) || !block.as_sent(row)) return false;
  return true;
}

} // namespace

/// Stores rows [begin, end) of `block`, which may come from several ranks.
void RunningFile::put_rows(const RowBlock& block, std::size_t begin, std::size_t end) {
  while (begin < end) {
    std::size_t same = begin + 1;
    while (same < end && block.rank(same) == block.rank(begin) && block.attempts(same) == block.attempts(begin)) ++same;
    wire::BatchResult part = wire::part_of(block.result(), begin, same);
    part.batch = part.first / identity_.batch_size;
    part.attempt = block.attempts(begin);
    put(part, block.rank(begin), nullptr);
    begin = same;
  }
}

void RunningFile::take_good_batches(const ReadFile& old, const OnReading& on_reading) {
  const std::vector<ColumnSpec> columns = old.columns_in_order();
  if (columns.size() != old.columns().size())
    throw usage_error(
        fmt::format("--retry-failed: {} does not say in which order its columns came; another version of mgpu_run "
                    "wrote it, or columns were added or removed",
                    manifest::shown(places_.output)));
  if (!columns.empty()) set_columns(columns); // without columns no row had a result
  earlier_ = true;
  resumes_ = static_cast<std::int32_t>(old.number("resumes")) + 1;
  const std::uint64_t batch_size = identity_.batch_size;
  const std::uint64_t block_rows = (rows_a_block(columns) + batch_size - 1) / batch_size * batch_size;
  std::uint64_t uncommitted = 0;
  for (std::uint64_t first = 0; first < items_.size(); first += block_rows) {
    if (on_reading) on_reading(places_.output, first, items_.size());
    const std::uint64_t count = std::min(block_rows, items_.size() - first);
    uncommitted += take_batches(old, columns, first, count);
    if (uncommitted < commit_bytes) continue;
    commit();
    uncommitted = 0;
  }
  commit();
}

/// Takes the good batches of items [first, first + count), whole batches; returns their bytes. Unreadable ones are run again.
std::uint64_t RunningFile::take_batches(const ReadFile& old, const std::vector<ColumnSpec>& columns, std::uint64_t first,
                                        std::uint64_t count) {
  const std::uint64_t batch_size = identity_.batch_size;
  std::optional<RowBlock> block;
  try {
    block.emplace(old, columns, first, count);
  } catch (const Error&) {
    if (count <= batch_size) return 0;
    const std::uint64_t half = (count / batch_size + 1) / 2 * batch_size;
    return take_batches(old, columns, first, half) + take_batches(old, columns, first + half, count - half);
  }
  std::uint64_t bytes = 0;
  for (const wire::ColumnData& column : block->result().columns) bytes += column.data.size();
  for (std::size_t begin = 0; begin < count; begin += batch_size) {
    const std::size_t end = std::min<std::size_t>(begin + batch_size, count);
    if (all_ok_as_sent(*block, begin, end)) put_rows(*block, begin, end);
  }
  return bytes;
}

void RunningFile::forget_failed() {
  const std::uint64_t batch_size = batch_rows();
  for (std::uint64_t first = 0; first < items_.size(); first += batch_size) {
    const std::uint64_t rows = std::min(batch_size, items_.size() - first);
    bool failed = false;
    for (std::uint64_t item = first; item < first + rows; ++item) failed |= items_.status(item) == Status::failed;
    if (failed) forget_for_good(first, rows);
  }
  items_.write_changes(*file_);
  journal_->commit();
}

std::unique_ptr<ResultFile> ResultFile::retry(const std::string& path, const manifest::Manifest& manifest, const Header& header,
                                              bool verify, const OnReading& on_reading, Lock lock) {
  std::signal(SIGXFSZ, SIG_IGN); // a file size limit must cause an error of the write
  const Places places(path);
  const bool from_complete =
      is_there(places.output) && ReadFile(places.output).complete() && (!is_there(places.partial) || nothing_begun(places));
  if (!from_complete) {
    auto file = resume(path, header, verify, on_reading, std::move(lock));
    if (file) dynamic_cast<RunningFile&>(*file).forget_failed();
    return file;
  }
  if (!lock) lock = take_lock(path, std::chrono::seconds(0));
  const ReadFile old(places.output);
  require_same_run_exactly(path, old.text("identity"), *header.identity);
  // Left by the finished run, or by a retry that had not begun.
  remove_old(places.partial);
  remove_old(places.journal);
  auto file = std::make_unique<RunningFile>(places, manifest, header, std::move(lock));
  file->take_good_batches(old, on_reading);
  return file;
}

} // namespace mgpu::agent::write
