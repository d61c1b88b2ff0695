#include "write/result_file.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <numeric>
#include <set>

#include "manifest/text.hpp"
#include "wire/messages.hpp"
#include "write/assemble.hpp"
#include "write/fill.hpp"
#include "write/h5.hpp"
#include "write/item_table.hpp"
#include "write/ranks.hpp"
#include "write/raw_file.hpp"
#include "write/spool.hpp"
#include "write/strings.hpp"

namespace mgpu::write {

namespace {

std::string partial_of(const std::string& path) {
  return path + ".partial";
}
std::string spool_of(const std::string& path) {
  return path + ".spool";
}

/// Anything at `path`, a dangling link too.
bool is_there(const std::string& path) {
  struct stat facts {};
  return ::lstat(path.c_str(), &facts) == 0;
}

void refuse_if_running(const std::string& path) {
  struct stat facts {};
  if (::lstat(spool_of(path).c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) return;
  if (!RawFile(spool_of(path), RawFile::Mode::read).lock())
    throw usage_error(
        fmt::format("output {}: another run is writing it now; wait for it or choose another name", manifest::shown(path)));
}

void remove_old(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    throw usage_error(fmt::format("{}: cannot be removed: {}", manifest::shown(path), std::strerror(errno)));
}

/// Throws, before anything is allocated, when `more` bytes cannot fit.
void require_room(const RawFile& file, std::uint64_t more) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && file.size() + more > limit.rlim_cur)
    throw file_error(file.path(), "getrlimit", EFBIG, more);
  struct statvfs disk {};
  if (::statvfs(file.path().c_str(), &disk) == 0 && disk.f_blocks > 0 && more / disk.f_frsize > disk.f_bavail)
    throw file_error(file.path(), "statvfs", ENOSPC, more);
}

/// Runs `work`; a full disk that HDF5 met is told with the room needed.
template <typename Work>
void with_needs(const std::string& path, std::uint64_t needed_bytes, Work work) {
  try {
    work();
  } catch (const Error& error) {
    if (error.code() != ExitCode::stopped || !error.call.starts_with("H5")) throw;
    throw file_error(path, error.call.c_str(), ENOSPC, needed_bytes);
  }
}

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

class RunningFile final : public ResultFile {
 public:
  RunningFile(const std::string& path, const manifest::Manifest& manifest, const Header& header)
      : path_(path), spool_(spool_of(path), RawFile::Mode::create), items_(manifest.size()), index_(manifest.size()) {
    if (!spool_.file().lock()) throw usage_error(fmt::format("output {}: another run is writing it now", manifest::shown(path)));
    with_needs(partial_of(path), 128 * manifest.size(), [&] { begin_file(manifest, header); });
    file_ = std::make_unique<RawFile>(partial_of(path), RawFile::Mode::modify);
    stage_ = std::make_unique<RowStage>(*file_);
    items_.write_all(*file_);
  }

  void set_columns(const std::vector<ColumnSpec>& columns) override;
  void put(const wire::BatchResult& result, std::int32_t rank, const std::shared_ptr<void>& owner) override;
  void commit() override;
  void finish(const Footer& footer) override;

 private:
  struct Fixed {
    std::uint32_t column = 0;
    std::uint64_t offset = 0, row_bytes = 0;
  };

  void begin_file(const manifest::Manifest& manifest, const Header& header);
  void check_fits(const wire::BatchResult& result, std::int32_t rank);
  void spool(const wire::BatchResult& result, std::int32_t rank);
  void estimate_needs();
  void assemble_all(const Footer& footer);
  void fill_rows_not_ok();
  void fill_run(const Fixed& column, std::uint64_t first, std::uint64_t end);

  std::string path_;
  Spool spool_;
  ItemTable items_;
  RecordIndex index_;
  std::unique_ptr<RawFile> file_;
  std::unique_ptr<RowStage> stage_;
  std::vector<ColumnSpec> columns_;
  std::vector<Fixed> fixed_;
  std::vector<RaggedCounts> ragged_;
  std::uint64_t fixed_bytes_ = 0; ///< of all fixed columns
  std::vector<bool> seen_;        ///< scratch of check_fits
  bool has_columns_ = false, name_synced_ = false, changed_ = true;
};

void RunningFile::begin_file(const manifest::Manifest& manifest, const Header& header) {
  h5::Id file = h5::create_file(partial_of(path_));
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

  h5::create_group(file, "results").close();
  const h5::Id items = h5::create_group(file, "items");
  items_.create(items);
  StringDataset paths(items, "path", manifest.size());
  for (std::uint64_t i = 0; i < manifest.size(); ++i) paths.push(manifest.path(i));
  paths.close();
  StringDataset errors(items, "error", manifest.size()); // most stay "": written now, while models open, not at the end
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

void RunningFile::set_columns(const std::vector<ColumnSpec>& columns) {
  if (has_columns_) {
    if (columns != columns_)
      throw Error("ranks disagree on the output columns; are all of them the same build with the same model?");
    return;
  }
  check_names(columns);
  for (std::uint32_t c = 0; c < columns.size(); ++c) {
    if (columns[c].layout == Layout::fixed) fixed_.push_back({c, 0, columns[c].row_bytes()});
    if (columns[c].layout == Layout::ragged) ragged_.push_back({c, std::vector<std::uint32_t>(items_.size())});
  }
  for (const Fixed& column : fixed_) fixed_bytes_ += column.row_bytes * items_.size();
  constexpr std::uint64_t metadata_bytes = 1u << 20;
  require_room(*file_, fixed_bytes_ + metadata_bytes);

  wire::Opened opened;
  opened.columns = columns;
  wire::Buffer bytes;
  wire::encode(opened, bytes);
  spool_.append(FrameKind::columns, -1, bytes);

  h5::Id file = h5::open_file(partial_of(path_), true);
  const h5::Id results = h5::open_group(file, "results");
  for (Fixed& column : fixed_) {
    const ColumnSpec& spec = columns[column.column];
    h5::Shape shape{items_.size()};
    shape.insert(shape.end(), spec.row_shape.begin(), spec.row_shape.end());
    column.offset = h5::offset_of(h5::create_contiguous(results, spec.name, h5::type_of(spec.type), shape)).value_or(0);
  }
  file.close();
  file_->set_needed_bytes(fixed_bytes_);
  columns_ = columns;
  has_columns_ = true;
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
}

void RunningFile::put(const wire::BatchResult& result, std::int32_t rank, const std::shared_ptr<void>& owner) {
  check_fits(result, rank);
  for (const wire::ColumnData& column : result.columns) {
    if (columns_[column.column].layout != Layout::fixed) continue;
    const auto place = std::find_if(fixed_.begin(), fixed_.end(), [&](const Fixed& f) { return f.column == column.column; });
    stage_->write_at(place->offset + result.first * place->row_bytes, column.data, owner);
  }
  spool(result, rank);
  for (std::size_t row = 0; row < result.rows(); ++row)
    items_.set(result.first + row, static_cast<Status>(result.status[row]), result.flags[row], result.attempt, rank,
               result.seconds[row]);
  changed_ = true;
}

void RunningFile::spool(const wire::BatchResult& result, std::int32_t rank) {
  if (fixed_.size() == columns_.size() && result.errors.empty()) { // nothing to spool: the usual case, kept cheap
    index_.clear(result.first, result.rows());
    return;
  }
  wire::BatchResult rest = result;
  std::erase_if(rest.columns, [&](const wire::ColumnData& column) { return columns_[column.column].layout == Layout::fixed; });
  for (RaggedCounts& column : ragged_) {
    const auto data =
        std::find_if(rest.columns.begin(), rest.columns.end(), [&](const auto& d) { return d.column == column.column; });
    const auto begin = column.counts.begin() + static_cast<std::ptrdiff_t>(result.first);
    if (data == rest.columns.end())
      std::fill_n(begin, result.rows(), 0u);
    else
      std::copy(data->counts.begin(), data->counts.end(), begin);
  }
  if (rest.columns.empty() && rest.errors.empty())
    index_.clear(result.first, result.rows());
  else
    index_.set(result.first, result.rows(), spool_.append(rest, rank));
}

void RunningFile::estimate_needs() {
  const std::uint64_t done = std::max<std::uint64_t>(items_.size() - items_.pending(), 1);
  file_->set_needed_bytes(fixed_bytes_ / items_.size() * items_.pending());
  spool_.file().set_needed_bytes(spool_.end() / done * items_.pending());
}

void RunningFile::commit() {
  if (!changed_) return;
  estimate_needs();
  stage_->flush();
  spool_.commit();
  file_->sync_data();
  // Only now may a status speak of these rows; and it is itself on the disk when commit returns.
  items_.write_changes(*file_);
  file_->sync_data();
  if (!name_synced_) sync_folder_of(path_);
  name_synced_ = true;
  changed_ = false;
}

void RunningFile::fill_rows_not_ok() {
  for (std::uint64_t item = 0; item < items_.size();) {
    if (items_.status(item) == Status::ok) {
      ++item;
      continue;
    }
    std::uint64_t end = item + 1;
    while (end < items_.size() && items_.status(end) == items_.status(item)) ++end;
    // Pending rows of a number column are holes in the file, which read as 0 already.
    for (const Fixed& column : fixed_)
      if (items_.status(item) == Status::failed || is_floating(columns_[column.column].type)) fill_run(column, item, end);
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

void RunningFile::assemble_all(const Footer& footer) {
  h5::Id file = h5::open_file(partial_of(path_), true);
  assemble(file, *stage_, spool_, index_, columns_, ragged_);
  stage_->flush();
  items_.write_changes(*file_);
  write_ranks(file, footer.ranks);
  if (!footer.training.empty()) write_training(file, footer.training);
  h5::set_attribute(file, "model_sha256", footer.model_sha256);
  h5::set_attribute(file, "finished", footer.finished);
  h5::set_attribute(file, "complete", footer.complete ? 1 : 0);
  file.close();
}

void RunningFile::finish(const Footer& footer) {
  commit();
  fill_rows_not_ok();
  stage_->flush();
  constexpr std::uint64_t bytes_an_item = 64; // references to strings, small strings, offsets
  const std::uint64_t needed_bytes = spool_.end() + bytes_an_item * items_.size() * (1 + columns_.size() - fixed_.size());
  require_room(*file_, needed_bytes);
  with_needs(partial_of(path_), needed_bytes, [&] { assemble_all(footer); });
  file_->sync_all();
  if (::rename(partial_of(path_).c_str(), path_.c_str()) != 0) throw file_error(path_, "rename", errno, 0);
  sync_folder_of(path_);
  remove_old(spool_of(path_));
}

} // namespace

void ResultFile::check(const std::string& path, bool overwrite) {
  const std::string name = manifest::shown(path);
  if (path.empty() || path.ends_with('/')) throw usage_error("output " + name + ": not a file name; give one like out.h5");
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  struct stat facts {};
  if (::stat(folder.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode))
    throw usage_error(fmt::format("output {}: there is no folder {}; make it first", name, manifest::shown(folder)));
  if (::access(folder.c_str(), W_OK | X_OK) != 0)
    throw usage_error(
        fmt::format("output {}: the folder {} is not writable: {}", name, manifest::shown(folder), std::strerror(errno)));
  if (::lstat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode))
    throw usage_error(fmt::format("output {}: is a folder; give a file name like out.h5 in it", name));
  refuse_if_running(path);
  if (overwrite) return;
  if (is_there(path))
    throw usage_error(fmt::format("output {}: exists; --resume goes on with it, --overwrite begins anew", name));
  if (is_there(partial_of(path)))
    throw usage_error(fmt::format("output {}: an unfinished run left {}; --resume goes on with it, --overwrite begins anew", name,
                                  manifest::shown(partial_of(path))));
}

void ResultFile::discard(const std::string& path) noexcept {
  ::unlink(partial_of(path).c_str());
  ::unlink(spool_of(path).c_str());
}

std::unique_ptr<ResultFile> ResultFile::create(const std::string& path, const manifest::Manifest& manifest,
                                               const Header& header) {
  std::signal(SIGXFSZ, SIG_IGN); // a file size limit shall be an error of the write that meets it, not the end of the process
  refuse_if_running(path);
  remove_old(partial_of(path));
  remove_old(spool_of(path));
  return std::make_unique<RunningFile>(path, manifest, header);
}

} // namespace mgpu::write
