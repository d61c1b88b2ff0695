#include "agent/coordinator/staging.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "common/support/clock.hpp"

namespace mgpu::agent {

namespace fs = std::filesystem;

namespace {
constexpr auto memory_folder = "/dev/shm";
constexpr auto prefix = "mgpu-model-";
constexpr int most_attempts = 10;
constexpr std::chrono::seconds leave_after{10};
constexpr long xfs_magic = 0x58465342;
constexpr long zfs_magic = 0x2fc12fc1;

std::uintmax_t tree_bytes(const fs::path& path) {
  if (!fs::is_directory(path)) return fs::file_size(path);
  std::uintmax_t total = 0;
  for (const auto& entry : fs::recursive_directory_iterator(path, fs::directory_options::follow_directory_symlink))
    if (entry.is_regular_file()) total += entry.file_size();
  return total;
}
} // namespace

bool on_local_disk(const std::string& path) {
  struct statfs facts {};
  if (statfs(path.c_str(), &facts) != 0) return true; // the worker that opens it reports the error
  switch (static_cast<long>(facts.f_type)) {
    case EXT4_SUPER_MAGIC:
    case xfs_magic:
    case zfs_magic:
    case BTRFS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case OVERLAYFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case SQUASHFS_MAGIC:
      return true;
    default:
      return false;
  }
}

void sweep_staged() {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(memory_folder, ignored)) {
    if (!entry.path().filename().string().starts_with(prefix)) continue;
    const int fd = open(entry.path().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) continue; // another user's
    struct stat facts {};
    const bool left = fstat(fd, &facts) == 0 && facts.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (left) fs::remove_all(entry.path(), ignored);
    close(fd);
  }
}

StagingFolder::StagingFolder() : path_(fmt::format("{}/{}{}-XXXXXX", memory_folder, prefix, getuid())) {
  // Another rank's cleanup may remove a folder that is not locked yet, taking it for a dead agent's: then another is made.
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    std::string name = path_;
    if (mkdtemp(name.data()) == nullptr)
      throw Error(fmt::format("{}: no folder can be made: {}", memory_folder, std::strerror(errno)));
    lock_ = open(name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat here {};
    if (lock_ >= 0 && flock(lock_, LOCK_EX | LOCK_NB) == 0 && stat(name.c_str(), &here) == 0) {
      path_ = name;
      return;
    }
    if (lock_ >= 0) close(lock_);
  }
  throw Error(fmt::format("{}: no folder can be kept", memory_folder));
}

StagingFolder::~StagingFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  close(lock_);
}

namespace {

/// Copies the model into `folder` and returns the new path.
std::string copy_model(const std::string& path, const fs::path& folder) {
  const std::uintmax_t wanted = tree_bytes(path);
  const std::uintmax_t free = fs::space(memory_folder).available;
  if (wanted > free)
    throw Error(fmt::format("{} needs {}, {} has {} free; use --model-load staggered", path,
                            human_bytes(static_cast<double>(wanted)), memory_folder, human_bytes(static_cast<double>(free))));
  const fs::path source = fs::is_directory(path) ? fs::canonical(path) : fs::path(path);
  const fs::path copy = folder / source.filename();
  fs::copy(source, copy, fs::copy_options::recursive); // follows links
  return copy.string();
}

} // namespace

Staging::~Staging() {
  if (thread_) thread_->done(leave_after);
}

void Staging::begin(const std::string& path, double stall_s) {
  stall_s_ = stall_s;
  answered_ = false;
  copy_ = std::make_shared<Copy>();
  thread_ = std::make_unique<SideThread>([copy = copy_, path] {
    const double begin = now_s();
    try {
      sweep_staged();
      copy->folder = std::make_unique<StagingFolder>();
      copy->answer.path = copy_model(path, copy->folder->path());
    } catch (const std::exception& error) {
      copy->folder.reset();
      copy->answer.error = error.what();
    }
    copy->answer.seconds = now_s() - begin;
  });
}

std::optional<wire::Staged> Staging::poll() {
  if (!thread_ || answered_) return std::nullopt;
  if (thread_->done()) {
    answered_ = true;
    return copy_->answer;
  }
  const double still_s = thread_->still_s();
  if (stall_s_ <= 0 || still_s <= stall_s_) return std::nullopt;
  answered_ = true;
  wire::Staged staged;
  staged.still = 1;
  staged.error = fmt::format("nothing has moved for {:.0f} s; does its file system answer? (--stall-timeout)", still_s);
  return staged;
}

} // namespace mgpu::agent
