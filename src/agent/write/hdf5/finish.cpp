// The end of a run: fills rows without results, puts rows into the manifest's order, writes attributes; and the undo of that.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "agent/manifest/text.hpp"
#include "agent/write/hdf5/fill.hpp"
#include "agent/write/hdf5/h5.hpp"
#include "agent/write/hdf5/ranks.hpp"
#include "agent/write/hdf5/running_file.hpp"
#include "agent/write/hdf5/telemetry.hpp"

namespace mgpu::agent::write {

namespace {
constexpr std::uint64_t undo_block_bytes = 1u << 20;

wire::Buffer undo_payload(std::uint64_t offset, std::size_t size) {
  wire::Buffer payload;
  wire::Encoder(payload).put(offset);
  payload.resize(sizeof offset + size);
  return payload;
}
} // namespace

std::vector<std::pair<std::uint64_t, std::uint64_t>> RunningFile::beside_fixed_rows() const {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> rows; // [begin, end) of each fixed column
  for (const Fixed& column : fixed_)
    if (column.row_bytes > 0) rows.emplace_back(column.offset, column.offset + column.row_bytes * items_.size());
  std::sort(rows.begin(), rows.end());
  const std::uint64_t size = file_->size();
  rows.emplace_back(size, size);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> gaps;
  std::uint64_t at = 0;
  for (const auto& [begin, end] : rows) {
    if (begin > at) gaps.emplace_back(at, begin);
    at = std::max(at, end);
  }
  return gaps;
}

/// HDF5 changes a file in place, and a half changed file may crash its readers. So everything that HDF5 may change, that is, all
/// but the rows of fixed columns, is first saved in the journal.
void RunningFile::save_undo() {
  const std::uint64_t size = file_->size();
  for (auto [at, end] : beside_fixed_rows())
    while (at < end) {
      const std::uint64_t block = std::min(undo_block_bytes, end - at);
      wire::Buffer payload = undo_payload(at, block);
      file_->read_at(at, payload.data() + sizeof at, block);
      journal_->append(FrameKind::undo, payload);
      at += block;
    }
  wire::Buffer before;
  wire::Encoder(before).put(size);
  journal_->append_twice(FrameKind::changing, before);
  journal_->commit();
}

void RunningFile::settle() {
  file_->sync_all();
  journal_->append_twice(FrameKind::settled, {});
}

void RunningFile::fill_rows_not_ok() {
  for (std::uint64_t item = 0; item < items_.size();) {
    if (items_.status(item) == Status::ok) {
      ++item;
      continue;
    }
    std::uint64_t end = item + 1;
    while (end < items_.size() && items_.status(end) == items_.status(item)) ++end;
    // Pending rows of an integer column are holes in the file, which read as 0, unless an earlier run died while writing them.
    for (const Fixed& column : fixed_)
      if (items_.status(item) == Status::failed || earlier_ || is_floating(columns_[column.column].type))
        fill_run(column, item, end);
    item = end;
  }
}

void RunningFile::fill_run(const Fixed& column, std::uint64_t first, std::uint64_t end) {
  if (column.row_bytes == 0) return;
  const wire::Buffer block = filled_rows(columns_[column.column], end - first);
  const std::uint64_t block_rows = block.size() / column.row_bytes;
  for (; first < end; first += std::min(block_rows, end - first)) {
    const std::uint64_t rows = std::min(block_rows, end - first);
    stage_->write_at(column.offset + first * column.row_bytes, wire::View(block).first(rows * column.row_bytes));
  }
}

void RunningFile::require_ours() const {
  lock_->require();
  const bool same_run = file_->is_at(places_.partial) && journal_->file().is_at(places_.journal) &&
                        h5::text_attribute(h5::open_file(places_.partial, false), "run") == run_name();
  if (!same_run)
    throw Error(
        fmt::format("{}: the files of this run were removed or replaced while it went on; nothing is written to the output",
                    manifest::shown(places_.output)));
}

void RunningFile::assemble_all(const Footer& footer) {
  h5::Id file = h5::open_file(places_.partial, true);
  assemble(file, *stage_, *journal_, index_, columns_, ragged_);
  stage_->flush();
  items_.write_changes(*file_);
  write_ranks(file, footer.ranks);
  write_telemetry(file, footer.telemetry);
  if (!footer.training.empty()) write_series(file, "training", footer.training);
  h5::set_attribute(file, "model_sha256", footer.model_sha256);
  Identity identity = identity_;
  if (!footer.model_sha256.empty()) identity.model_sha256 = footer.model_sha256;
  if (!identity.job.empty()) h5::set_attribute(file, "identity", identity.json());
  h5::set_attribute(file, "finished", footer.finished);
  h5::set_attribute(file, "complete", footer.complete ? 1 : 0);
  h5::set_attribute(file, "world_size", world_size_);
  h5::set_attribute(file, "resumes", resumes_);
  file.close();
}

void RunningFile::write_all(const Footer& footer) {
  require_ours();
  fill_rows_not_ok();
  stage_->flush();
  constexpr std::uint64_t bytes_an_item = 64; // references to strings, small strings, offsets
  const std::uint64_t needed_bytes = spooled_bytes_ + bytes_an_item * items_.size() * (1 + columns_.size() - fixed_.size());
  require_room(*file_, needed_bytes);
  with_needs(places_.partial, needed_bytes, [&] { assemble_all(footer); });
  file_->sync_all();
  require_ours();
  if (::rename(places_.partial.c_str(), places_.output.c_str()) != 0) throw file_error(places_.output, "rename", errno, 0);
  sync_folder_of(places_.output);
}

void RunningFile::finish(const Footer& footer) {
  commit();
  if (footer.complete && items_.pending() > 0)
    throw Error(fmt::format("{}: {} of {} items have no result, though the run has ended; --resume does them",
                            manifest::shown(places_.output), items_.pending(), items_.size()));
  require_ours();
  if (can_resume_) {
    journal_->file().set_needed_bytes(file_->size() - fixed_bytes_);
    save_undo();
  }
  write_all(footer);
  if (footer.complete || !can_resume_) remove_old(places_.journal);
  if (!footer.complete) return;
  remove_old(places_.old_partial());
  remove_old(places_.old_journal());
}

} // namespace mgpu::agent::write
