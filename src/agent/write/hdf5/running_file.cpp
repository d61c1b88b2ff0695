#include "agent/write/hdf5/running_file.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <set>

#include "agent/manifest/text.hpp"
#include "agent/write/hdf5/h5.hpp"
#include "agent/write/hdf5/strings.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/row_crc.hpp"

namespace mgpu::agent::write {

void remove_old(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    throw usage_error(fmt::format("{}: cannot be removed: {}", manifest::shown(path), std::strerror(errno)));
}

void require_room(const RawFile& file, std::uint64_t more) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && file.size() + more > limit.rlim_cur)
    throw file_error(file.path(), "getrlimit", EFBIG, more, file.advice());
  struct statvfs disk {};
  if (::statvfs(file.path().c_str(), &disk) == 0 && disk.f_blocks > 0 && more / disk.f_frsize > disk.f_bavail)
    throw file_error(file.path(), "statvfs", ENOSPC, more, file.advice());
}

namespace {

void check_names(const std::vector<ColumnSpec>& columns) {
  std::set<std::string> names;
  for (const ColumnSpec& column : columns) {
    if (column.name.empty() || column.name == "." || column.name.find('/') != std::string::npos ||
        column.name.find('\0') != std::string::npos)
      throw Error(fmt::format("output column {}: not a name HDF5 can have; leave out / and .", manifest::shown(column.name)));
    if (!names.insert(column.name).second)
      throw Error(fmt::format("two output columns are named {}", manifest::shown(column.name)));
  }
}

} // namespace

RunningFile::RunningFile(Places places, const manifest::Manifest& manifest, const Header& header, Lock lock)
    : lock_(std::move(lock)),
      places_(std::move(places)),
      journal_(std::make_unique<Journal>(places_.journal, RawFile::Mode::create)),
      can_resume_(header.identity.has_value() && header.by_items),
      items_(manifest.size()),
      index_(manifest.size()),
      world_size_(header.world_size) {
  if (!journal_->file().lock())
    throw usage_error(fmt::format("output {}: another run is writing it now", manifest::shown(places_.output)));
  if (header.identity) identity_ = *header.identity;
  with_needs(places_.partial, 128 * manifest.size(), [&] { begin_file(manifest, header); });
  file_ = std::make_unique<RawFile>(places_.partial, RawFile::Mode::modify);
  stage_ = std::make_unique<RowStage>(*file_);
  journal_->before_writing([this] { stage_->flush(); });
  items_.write_all(*file_);
  if (!can_resume_) return;
  // A journal needs its result file, so the file is brought to the disk first.
  file_->sync_all();
  const std::string head = identity_.json();
  journal_->append_twice(FrameKind::head, std::as_bytes(std::span(head)));
  journal_->commit(); // an empty journal was lost, or is of a run that was killed before this line
}

std::string RunningFile::run_name() const {
  return journal_->name();
}

void RunningFile::begin_file(const manifest::Manifest& manifest, const Header& header) {
  h5::Id file = h5::create_file(places_.partial);
  h5::set_attribute(file, "schema", "mgpu/1");
  h5::set_attribute(file, "job", header.job);
  h5::set_attribute(file, "command", header.command);
  h5::set_attribute(file, "config", header.config_json);
  h5::set_attribute(file, "version", header.version);
  h5::set_attribute(file, "model", header.model);
  h5::set_attribute(file, "model_sha256", header.model_sha256);
  h5::set_attribute(file, "started", header.started);
  h5::set_attribute(file, "finished", "");
  h5::set_attribute(file, "complete", 0);
  h5::set_attribute(file, "world_size", header.world_size);
  h5::set_attribute(file, "resumes", 0);
  h5::set_attribute(file, "run", run_name());
  h5::set_attribute(file, "identity", header.identity ? header.identity->json() : "");
  if (header.identity && header.identity->shard) {
    const ShardIdentity& shard = *header.identity->shard;
    h5::set_attribute(file, "shard", shard.shard.text());
    h5::set_attribute(file, "first_item", static_cast<std::int64_t>(shard.first));
    h5::set_attribute(file, "manifest_items", static_cast<std::int64_t>(shard.all_items));
  }

  h5::create_group(file, "results").close();
  const h5::Id items = h5::create_group(file, "items");
  items_.create(items);
  StringDataset paths(items, "path", manifest.size());
  for (std::uint64_t i = 0; i < manifest.size(); ++i) paths.push(manifest.path(i));
  paths.close();
  StringDataset errors(items, "error", manifest.size()); // most stay "": written now, while the models open
  for (std::uint64_t i = 0; i < manifest.size(); ++i) errors.push({});
  errors.close();
  const std::vector<std::string> names = item_dataset_names(manifest.column_names());
  for (std::size_t c = 0; c < names.size(); ++c) {
    StringDataset column(items, names[c], manifest.size());
    for (std::uint64_t i = 0; i < manifest.size(); ++i) column.push(manifest.value(c, i));
    column.close();
    if (names[c] != manifest.column_names()[c])
      h5::set_attribute(h5::open_dataset(items, names[c]), "manifest_column", manifest.column_names()[c]);
  }
  file.close();
}

void RunningFile::use_columns(const std::vector<ColumnSpec>& columns) {
  for (std::uint32_t c = 0; c < columns.size(); ++c) {
    if (columns[c].layout == Layout::fixed) fixed_.push_back({c, 0, columns[c].row_bytes()});
    if (columns[c].layout == Layout::ragged) ragged_.push_back({c, std::vector<std::uint32_t>(items_.size())});
  }
  for (const Fixed& column : fixed_) fixed_bytes_ += column.row_bytes * items_.size();
  columns_ = columns;
  has_columns_ = true;
}

void RunningFile::set_columns(const std::vector<ColumnSpec>& columns) {
  if (has_columns_) {
    if (columns == columns_) return;
    if (earlier_) throw usage_error("the model gives other output columns than the run that --resume continues");
    throw Error("ranks disagree on the output columns; are all of them the same build with the same model?");
  }
  check_names(columns);
  if (can_resume_ && has_batches_) save_undo(); // without a result, a run that dies here is started over
  use_columns(columns);
  constexpr std::uint64_t metadata_bytes = 1u << 20;
  require_room(*file_, fixed_bytes_ + metadata_bytes);

  h5::Id file = h5::open_file(places_.partial, true);
  const h5::Id results = h5::open_group(file, "results");
  for (Fixed& column : fixed_) {
    const ColumnSpec& spec = columns[column.column];
    h5::Shape shape{items_.size()};
    shape.insert(shape.end(), spec.row_shape.begin(), spec.row_shape.end());
    const h5::Id dataset = h5::create_contiguous(results, spec.name, h5::type_of(spec.type), shape);
    column.offset = h5::offset_of(dataset).value_or(0);
    h5::set_position(dataset, column.column);
  }
  file.close();
  file_->set_needed_bytes(fixed_bytes_);

  wire::Opened opened;
  opened.columns = columns;
  wire::Buffer bytes;
  wire::encode(opened, bytes);
  if (can_resume_) file_->sync_all(); // the journal will refer to rows in these columns
  journal_->append_twice(FrameKind::columns, bytes);
}

void RunningFile::set_model_sha256(const std::string& sha256) {
  if (!can_resume_ || sha256 == identity_.model_sha256) return;
  identity_.model_sha256 = sha256;
  journal_->append_twice(FrameKind::model, std::as_bytes(std::span(sha256)));
  changed_ = true;
}

void RunningFile::check_fits(const wire::BatchResult& result, std::int32_t rank) {
  const auto refuse = [&](const std::string& why) {
    Error error(fmt::format("rank {} sent a result that does not fit the file: {}", rank, why));
    error.rank = rank;
    throw error;
  };
  if (result.first > items_.size() || result.rows() > items_.size() - result.first)
    refuse(fmt::format("rows {} + {} of {}", result.first, result.rows(), items_.size()));
  seen_.assign(columns_.size(), false);
  std::size_t seen_count = 0;
  for (const wire::ColumnData& column : result.columns) {
    if (column.column >= columns_.size() || seen_[column.column])
      refuse(fmt::format("column {} of {}", column.column, columns_.size()));
    seen_[column.column] = true;
    ++seen_count;
    const ColumnSpec& spec = columns_[column.column];
    std::uint64_t expected = result.rows() * spec.row_bytes();
    if (spec.layout != Layout::fixed) {
      if (column.counts.size() != result.rows()) refuse(fmt::format("column {} without its counts", spec.name));
      const std::uint64_t unit = spec.layout == Layout::ragged ? spec.row_bytes() : 1;
      expected = unit * std::accumulate(column.counts.begin(), column.counts.end(), std::uint64_t{0});
    }
    if (column.data.size() != expected)
      refuse(fmt::format("column {} has {} bytes, not {}", spec.name, column.data.size(), expected));
  }
  const auto ok = static_cast<std::uint8_t>(Status::ok);
  if (seen_count != columns_.size() && std::find(result.status.begin(), result.status.end(), ok) != result.status.end())
    refuse(fmt::format("{} of {} columns", seen_count, columns_.size()));
  if (result.crcs.empty() && std::find(result.status.begin(), result.status.end(), ok) != result.status.end())
    refuse("rows without their CRCs");
}

void RunningFile::put(const wire::BatchResult& result, std::int32_t rank, const std::shared_ptr<void>& owner) {
  check_fits(result, rank);
  for (const Fixed& place : fixed_) {
    const auto column =
        std::find_if(result.columns.begin(), result.columns.end(), [&](const auto& each) { return each.column == place.column; });
    if (column == result.columns.end()) continue;
    stage_->write_at(place.offset + result.first * place.row_bytes, column->data, owner);
  }
  wire::BatchResult rest = result;
  std::erase_if(rest.columns, [&](const wire::ColumnData& column) { return columns_[column.column].layout == Layout::fixed; });
  // A run that cannot be resumed needs only the parts that finish() puts in order.
  const bool spooled = !rest.columns.empty() || !rest.errors.empty();
  note(rest, rank, can_resume_ || spooled ? journal_->append(rest, rank) : 0);
  changed_ = true;
}

void RunningFile::note(const wire::BatchResult& rest, std::int32_t rank, std::uint64_t offset) {
  for (RaggedCounts& column : ragged_) {
    const auto data =
        std::find_if(rest.columns.begin(), rest.columns.end(), [&](const auto& d) { return d.column == column.column; });
    const auto begin = column.counts.begin() + static_cast<std::ptrdiff_t>(rest.first);
    if (data == rest.columns.end())
      std::fill_n(begin, rest.rows(), 0u);
    else
      std::copy(data->counts.begin(), data->counts.end(), begin);
  }
  if (rest.columns.empty() && rest.errors.empty())
    index_.clear(rest.first, rest.rows()); // nothing to put in order: the usual case, cheap
  else
    index_.set(rest.first, rest.rows(), offset);
  for (const wire::ColumnData& column : rest.columns) spooled_bytes_ += column.data.size();
  for (const auto& [row, reason] : rest.errors) spooled_bytes_ += reason.size();
  for (std::size_t row = 0; row < rest.rows(); ++row)
    items_.set(rest.first + row, static_cast<Status>(rest.status[row]), rest.flags[row], rest.attempt, rank, rest.seconds[row],
               rest.crcs.empty() ? 0 : rest.crcs[row]);
  for (const auto& [row, reason] : rest.errors) items_.set_crc(rest.first + row, wire::crc_of_text(reason));
  has_batches_ = true;
}

void RunningFile::estimate_needs() {
  const std::uint64_t done = std::max<std::uint64_t>(items_.size() - items_.pending(), 1);
  file_->set_needed_bytes(fixed_bytes_ / std::max<std::uint64_t>(items_.size(), 1) * items_.pending());
  journal_->file().set_needed_bytes(journal_->end() / done * items_.pending());
}

void RunningFile::commit() {
  if (!changed_) return;
  lock_->require();
  estimate_needs();
  stage_->flush();
  journal_->flush(); // a kill loses nothing from now on; a power cut may, which the CRCs of the rows reveal
  try {
    file_->sync_data();
  } catch (const Error&) {
    journal_->drop_uncommitted(); // their rows are processed again
    throw;
  }
  journal_->mark_durable();
  journal_->commit();
  // For readers during the run; after a kill the journal is authoritative.
  items_.write_changes(*file_);
  if (!name_synced_) sync_folder_of(places_.output);
  name_synced_ = true;
  changed_ = false;
}

} // namespace mgpu::agent::write
