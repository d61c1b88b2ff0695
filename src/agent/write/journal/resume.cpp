// Resuming an earlier run: reads its journal and restores the result file to the state of the journal.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "agent/manifest/text.hpp"
#include "agent/write/hdf5/h5.hpp"
#include "agent/write/hdf5/running_file.hpp"
#include "agent/write/journal/read_journal.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/row_crc.hpp"

namespace mgpu::agent::write {

namespace {

Error lost(const std::string& path, std::string_view why) {
  return usage_error(fmt::format("{} {}: the run cannot be resumed; --overwrite starts over", manifest::shown(path), why));
}

std::string run_of(const std::string& path) {
  return h5::text_attribute(h5::open_file(path, false), "run");
}

} // namespace

RunningFile::RunningFile(Places places, std::unique_ptr<Journal> journal, Identity identity, bool verify_all,
                         OnReading on_reading, Lock lock)
    : lock_(std::move(lock)),
      places_(std::move(places)),
      journal_(std::move(journal)),
      identity_(std::move(identity)),
      can_resume_(true),
      items_(identity_.items),
      index_(identity_.items),
      earlier_(true),
      verify_all_(verify_all),
      on_reading_(std::move(on_reading)) {
  replay();
}

void RunningFile::replay() {
  Frame frame;
  while (journal_->find(journal_end_, frame)) {
    if (on_reading_) on_reading_(places_.journal, journal_end_, journal_->end());
    // Rows that were on the disk before this frame was written need no check.
    if (!verify_all_)
      unverified_.erase(unverified_.begin(), std::find_if(unverified_.begin(), unverified_.end(), [&](std::uint64_t offset) {
                          return offset >= frame.header().durable;
                        }));
    switch (frame.kind()) {
      case FrameKind::head:
        break;
      case FrameKind::columns:
        replay_columns(frame);
        break;
      case FrameKind::batch:
        replay_batch(frame);
        break;
      case FrameKind::resumed:
        ++resumes_;
        break;
      case FrameKind::model:
        identity_.model_sha256 = frame.text();
        break;
      case FrameKind::undo:
        undo_.push_back(frame.header().at);
        break;
      case FrameKind::changing:
        size_before_ = wire::Decoder(frame.payload()).get<std::uint64_t>();
        break;
      case FrameKind::settled:
        undo_.clear();
        size_before_.reset();
        break;
      case FrameKind::forgotten:
        replay_forgotten(frame);
        break;
    }
  }
}

void RunningFile::replay_columns(const Frame& frame) {
  undo_.clear(); // the columns are in the result file, which is complete
  size_before_.reset();
  if (!has_columns_) use_columns(wire::decode<wire::Opened>(frame.payload()).columns);
}

void RunningFile::replay_batch(const Frame& frame) {
  const wire::BatchResult rest = wire::decode_batch_result(frame.payload());
  constexpr auto ok = static_cast<std::uint8_t>(Status::ok);
  const bool any_ok = std::find(rest.status.begin(), rest.status.end(), ok) != rest.status.end();
  if (rest.first > items_.size() || rest.rows() > items_.size() - rest.first)
    throw lost(places_.journal, fmt::format("speaks of item {} of {}", rest.first + rest.rows(), items_.size()));
  const bool has_results =
      !rest.columns.empty() || std::any_of(rest.crcs.begin(), rest.crcs.end(), [](auto crc) { return crc != 0; });
  if (!has_columns_ && has_results) throw lost(places_.journal, "is damaged where it names the output columns");
  if (any_ok && !fixed_.empty()) unverified_.push_back(frame.header().at);
  note(rest, frame.rank(), frame.header().at);
}

void RunningFile::replay_forgotten(const Frame& frame) {
  wire::Decoder in(frame.payload());
  const auto first = in.get<std::uint64_t>(), rows = in.get<std::uint64_t>();
  if (first > items_.size() || rows > items_.size() - first)
    throw lost(places_.journal, fmt::format("speaks of item {} of {}", first + rows, items_.size()));
  forget(first, rows);
}

/// Rows per batch of the earlier run; a manipulated journal may contain any value.
std::uint64_t RunningFile::batch_rows() const {
  if (identity_.batch_size == 0) throw lost(places_.journal, "speaks of batches of 0 items");
  return identity_.batch_size;
}

Earlier RunningFile::earlier() const {
  Earlier earlier;
  earlier.set_aside = set_aside_;
  earlier.damaged_bytes = journal_->damaged_bytes();
  earlier.mistrusted = mistrusted_;
  earlier.resumes = resumes_;
  if (!earlier_) return earlier;
  const std::uint64_t batch_size = batch_rows();
  earlier.batches.resize((items_.size() + batch_size - 1) / batch_size, true);
  for (std::uint64_t item = 0; item < items_.size(); ++item) {
    const Status status = items_.status(item);
    earlier.done += status == Status::pending ? 0 : 1;
    earlier.failed += status == Status::failed ? 1 : 0;
    earlier.flagged += items_.flags(item) == flag_none ? 0 : 1;
    if (status == Status::pending) earlier.batches[item / batch_size] = false;
  }
  return earlier;
}

/// A run that was stopped in an orderly way left an output with complete = 0 and no .partial: renames it back.
void RunningFile::take_back_output() {
  if (is_there(places_.partial)) return;
  if (!size_before_ || !is_there(places_.output) || run_of(places_.output) != run_name()) throw lost(places_.partial, "is gone");
  if (::rename(places_.output.c_str(), places_.partial.c_str()) != 0) throw file_error(places_.output, "rename", errno, 0);
  sync_folder_of(places_.output);
}

void RunningFile::undo_change(RawFile& file) const {
  if (!size_before_) return;
  Frame frame;
  std::uint64_t restored = 0;
  for (const std::uint64_t offset : undo_) {
    journal_->read(offset, frame);
    wire::Decoder in(frame.payload());
    const auto at = in.get<std::uint64_t>();
    restored += in.rest();
    file.write_at(at, in.take(in.rest()));
  }
  if (restored + fixed_bytes_ < *size_before_)
    throw lost(places_.journal, "is damaged where it says how the result file was before it was to be finished");
  file.resize(*size_before_);
  file.sync_all();
}

void RunningFile::open_partial() {
  file_ = std::make_unique<RawFile>(places_.partial, RawFile::Mode::modify);
  undo_change(*file_);
  stage_ = std::make_unique<RowStage>(*file_);
  const h5::Id file = h5::open_file(places_.partial, false);
  if (h5::text_attribute(file, "run") != run_name()) throw lost(places_.partial, "belongs to another run than its journal");
  items_.open(h5::open_group(file, "items"));
  const h5::Id results = h5::open_group(file, "results");
  for (Fixed& column : fixed_) column.offset = h5::offset_of(h5::open_dataset(results, columns_[column.column].name)).value_or(0);
}

void RunningFile::forget(std::uint64_t first, std::uint64_t rows) {
  for (std::uint64_t item = first; item < first + rows; ++item) items_.set(item, Status::pending, flag_none, 0, -1, 0, 0);
  for (RaggedCounts& column : ragged_) std::fill_n(column.counts.begin() + static_cast<std::ptrdiff_t>(first), rows, 0u);
  index_.clear(first, rows);
}

/// Later frames mark all earlier rows as durable, so the journal must record that these are invalid.
void RunningFile::forget_for_good(std::uint64_t first, std::uint64_t rows) {
  forget(first, rows);
  wire::Buffer range;
  wire::Encoder out(range);
  out.put(first);
  out.put(rows);
  journal_->append(FrameKind::forgotten, wire::View(range));
}

/// Whether the rows of fixed columns in the file match a batch of the journal.
bool RunningFile::rows_are_good(const wire::BatchResult& rest) const {
  wire::BatchResult whole = rest;
  std::vector<wire::Buffer> rows(fixed_.size());
  for (std::size_t i = 0; i < fixed_.size(); ++i) {
    rows[i].resize(rest.rows() * fixed_[i].row_bytes);
    file_->read_at(fixed_[i].offset + rest.first * fixed_[i].row_bytes, rows[i].data(), rows[i].size());
    whole.columns.push_back({fixed_[i].column, {}, rows[i]});
  }
  std::vector<std::uint32_t> crcs(rest.rows());
  wire::make_row_crcs(whole, columns_, crcs.data());
  return std::equal(crcs.begin(), crcs.end(), rest.crcs.begin());
}

/// After a power cut the journal may refer to rows that never reached the disk; kills alone do not cause that.
void RunningFile::verify(bool for_good) {
  Frame frame;
  const std::uint64_t batch_bytes = items_.size() == 0 ? 0 : fixed_bytes_ / items_.size() * identity_.batch_size;
  std::uint64_t done = 0;
  for (const std::uint64_t offset : unverified_) {
    if (on_reading_) on_reading_(places_.partial, batch_bytes * ++done, batch_bytes * unverified_.size());
    journal_->read(offset, frame);
    const wire::BatchResult rest = wire::decode_batch_result(frame.payload());
    if (items_.status(rest.first) == Status::pending) continue; // already dropped
    if (rows_are_good(rest)) continue;
    mistrusted_ += rest.rows();
    if (for_good)
      forget_for_good(rest.first, rest.rows());
    else
      forget(rest.first, rest.rows());
  }
  unverified_ = {};
}

/// Drops incomplete batches: batches are processed as a whole, so that results do not depend on where a run was cut.
void RunningFile::forget_torn_batches() {
  const std::uint64_t batch_size = batch_rows();
  for (std::uint64_t first = 0; first < items_.size(); first += batch_size) {
    const std::uint64_t rows = std::min(batch_size, items_.size() - first);
    std::uint64_t pending = 0;
    for (std::uint64_t item = first; item < first + rows; ++item) pending += items_.status(item) == Status::pending ? 1 : 0;
    if (pending > 0 && pending < rows) forget(first, rows);
  }
}

void RunningFile::go_on(const Header& header) {
  world_size_ = header.world_size;
  ++resumes_;
  journal_->cut(journal_end_);
  take_back_output();
  open_partial();
  journal_->before_writing([this] { stage_->flush(); });
  if (size_before_) settle();
  undo_ = {};
  size_before_.reset();
  verify(true);
  forget_torn_batches();
  items_.write_all(*file_);
  journal_->append(FrameKind::resumed, {});
  journal_->commit();
}

std::unique_ptr<RunningFile> read_journal(const Places& places, RawFile::Mode mode, bool verify_all, const OnReading& on_reading,
                                          ResultFile::Lock lock) {
  if (!is_there(places.journal)) return nullptr;
  auto journal = std::make_unique<Journal>(places.journal, mode);
  if (!journal->file().lock())
    throw usage_error(fmt::format("output {}: another run is writing it now", manifest::shown(places.output)));
  Frame frame;
  std::uint64_t at = 0;
  if (!journal->find(at, frame)) return nullptr;
  if (frame.kind() != FrameKind::head && frame.header().at == 0)
    throw usage_error(
        fmt::format("{}: a training, whose results are written at its end; the same command with --resume continues from its "
                    "last checkpoint",
                    manifest::shown(places.output)));
  if (frame.kind() != FrameKind::head) throw lost(places.journal, "is damaged at its beginning");
  Identity identity;
  try {
    identity = Identity::parse(frame.text());
  } catch (const nlohmann::json::exception&) {
    throw lost(places.journal, "begins as another version of mgpu_run writes it");
  }
  return std::make_unique<RunningFile>(places, std::move(journal), std::move(identity), verify_all, on_reading, std::move(lock));
}

} // namespace mgpu::agent::write
