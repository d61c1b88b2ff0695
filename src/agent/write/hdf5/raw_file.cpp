#include "agent/write/hdf5/raw_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "agent/manifest/text.hpp"

namespace mgpu::agent::write {

namespace {
constexpr std::size_t most_pieces = 1024; // IOV_MAX of Linux
} // namespace

std::string shown_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 6> units{"bytes", "kB", "MB", "GB", "TB", "PB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1000 && unit + 1 < units.size(); ++unit) value /= 1000;
  return unit == 0 ? fmt::format("{} bytes", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

Error file_error(const std::string& path, const char* call, int error_number, std::uint64_t needed_bytes, std::string_view then) {
  const bool full = error_number == ENOSPC || error_number == EFBIG || error_number == EDQUOT;
  const std::string text = full ? fmt::format("no room to write {} ({}): {} more are needed; make room, then {}",
                                              manifest::shown(path), std::strerror(error_number), shown_bytes(needed_bytes), then)
                                : fmt::format("{}: {} failed: {}", manifest::shown(path), call, std::strerror(error_number));
  // A failing disk or file server is not a failure of the job: when it works again, --resume continues.
  const bool broken = error_number == EIO || error_number == ESTALE || error_number == EREMOTEIO || error_number == ETIMEDOUT;
  Error error(broken ? text + fmt::format("; what was on the disk before stays: {}", then) : text,
              full || broken ? ExitCode::stopped : ExitCode::failed);
  error.call = call;
  return error;
}

bool is_there(const std::string& path) {
  struct stat facts {};
  return ::lstat(path.c_str(), &facts) == 0;
}

void sync_folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw file_error(folder, "open", errno, 0);
  const int failure = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  // Some network file systems refuse to sync a folder; renames are on their server already.
  if (failure != 0 && failure != EINVAL && failure != ENOTSUP) throw file_error(folder, "fsync", failure, 0);
}

RawFile::RawFile(const std::string& path, Mode mode) : path_(path) {
  const int access = mode == Mode::create ? O_RDWR | O_CREAT | O_EXCL : mode == Mode::modify ? O_RDWR : O_RDONLY;
  fd_ = ::open(path.c_str(), access | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd_ < 0) fail("open", errno);
}

RawFile::~RawFile() {
  ::close(fd_);
}

void RawFile::fail(const char* call, int error_number) const {
  throw file_error(path_, call, error_number, needed_bytes_, then_);
}

void RawFile::fail_write(const char* call, int error_number, std::uint64_t left_bytes) const {
  throw file_error(path_, call, error_number, std::max(needed_bytes_, left_bytes), then_);
}

void RawFile::write_at(std::uint64_t offset, wire::View bytes) {
  dirty_ = true;
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) fail_write("pwrite", done < 0 ? errno : ENOSPC, bytes.size());
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
}

void RawFile::write_at(std::uint64_t offset, std::vector<wire::View> pieces) {
  dirty_ = true;
  std::array<iovec, most_pieces> vectors;
  for (std::size_t at = 0; at < pieces.size();) {
    const std::size_t count = std::min(most_pieces, pieces.size() - at);
    for (std::size_t i = 0; i < count; ++i)
      vectors[i] = {const_cast<std::byte*>(pieces[at + i].data()), pieces[at + i].size()}; // iovec is also used for reading
    const ssize_t written = ::pwritev(fd_, vectors.data(), static_cast<int>(count), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int failure = written < 0 ? errno : ENOSPC;
      std::uint64_t left = 0;
      for (std::size_t i = at; i < pieces.size(); ++i) left += pieces[i].size();
      fail_write("pwritev", failure, left);
    }
    offset += static_cast<std::uint64_t>(written);
    for (auto left = static_cast<std::size_t>(written); left > 0;) { // a short write may end within a piece
      const std::size_t taken = std::min(left, pieces[at].size());
      pieces[at] = pieces[at].subspan(taken);
      left -= taken;
      if (pieces[at].empty()) ++at;
    }
  }
}

void RawFile::read_at(std::uint64_t offset, std::byte* out, std::size_t size) const {
  while (size > 0) {
    const ssize_t got = ::pread(fd_, out, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("pread", errno);
    if (got == 0) throw Error(fmt::format("{}: ends early", manifest::shown(path_)));
    out += got;
    offset += static_cast<std::uint64_t>(got);
    size -= static_cast<std::size_t>(got);
  }
}

void RawFile::sync_data() {
  if (!dirty_) return;
  if (::fdatasync(fd_) != 0) fail("fdatasync", errno);
  dirty_ = false;
}

void RawFile::sync_all() {
  if (::fsync(fd_) != 0) fail("fsync", errno);
  dirty_ = false;
}

void RawFile::resize(std::uint64_t size) {
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) fail("ftruncate", errno);
}

std::uint64_t RawFile::size() const {
  struct stat facts {};
  if (::fstat(fd_, &facts) != 0) fail("fstat", errno);
  return static_cast<std::uint64_t>(facts.st_size);
}

std::uint64_t RawFile::next_data(std::uint64_t offset) const {
  const off_t found = ::lseek(fd_, static_cast<off_t>(offset), SEEK_DATA);
  if (found < 0 && errno != ENXIO) fail("lseek", errno);
  return found < 0 ? size() : static_cast<std::uint64_t>(found);
}

std::uint64_t RawFile::next_hole(std::uint64_t offset) const {
  const off_t found = ::lseek(fd_, static_cast<off_t>(offset), SEEK_HOLE);
  if (found < 0) fail("lseek", errno);
  return static_cast<std::uint64_t>(found);
}

bool RawFile::is_at(const std::string& path) const {
  struct stat mine {
  }, there{};
  if (::fstat(fd_, &mine) != 0) fail("fstat", errno);
  return ::lstat(path.c_str(), &there) == 0 && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

bool RawFile::lock() {
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return true;
  return errno != EWOULDBLOCK;
}

void RowStage::write_at(std::uint64_t offset, wire::View bytes, const std::shared_ptr<void>& owner) {
  if (bytes.empty()) return;
  if (bytes.size() >= direct_bytes) {
    flush(); // earlier writes must not overwrite this one
    file_.write_at(offset, bytes);
    return;
  }
  if (pieces_.size() >= most_pieces || owned_ >= owned_bytes || arena_.size() + bytes.size() > stage_bytes) flush();
  if (owner) {
    if (owners_.empty() || owners_.back() != owner) owners_.push_back(owner);
    owned_ += bytes.size();
  } else {
    if (arena_.capacity() == 0) arena_.reserve(stage_bytes);
    arena_.insert(arena_.end(), bytes.begin(), bytes.end());
    bytes = wire::View(arena_).last(bytes.size());
  }
  Piece* last = pieces_.empty() ? nullptr : &pieces_.back();
  if (last != nullptr && last->end() == offset && last->bytes.data() + last->bytes.size() == bytes.data())
    last->bytes = {last->bytes.data(), last->bytes.size() + bytes.size()}; // adjacent in the file and in memory
  else
    pieces_.push_back({offset, bytes});
}

bool RowStage::sort_pieces() {
  const auto before = [](const Piece& a, const Piece& b) { return a.offset < b.offset; };
  std::vector<Piece> sorted = pieces_;
  if (!std::is_sorted(sorted.begin(), sorted.end(), before)) std::sort(sorted.begin(), sorted.end(), before);
  for (std::size_t i = 1; i < sorted.size(); ++i)
    if (sorted[i - 1].end() > sorted[i].offset) return false;
  pieces_ = std::move(sorted);
  return true;
}

void RowStage::flush() {
  // Overlapping pieces are written in the order of their arrival, so that the last one counts.
  const bool sorted = sort_pieces();
  for (std::size_t i = 0; i < pieces_.size();) {
    std::vector<wire::View> run{pieces_[i].bytes};
    std::size_t next = i + 1;
    for (; sorted && next < pieces_.size() && pieces_[next - 1].end() == pieces_[next].offset; ++next)
      run.push_back(pieces_[next].bytes);
    file_.write_at(pieces_[i].offset, std::move(run));
    i = next;
  }
  pieces_.clear();
  arena_.clear();
  owners_.clear();
  owned_ = 0;
}

} // namespace mgpu::agent::write
