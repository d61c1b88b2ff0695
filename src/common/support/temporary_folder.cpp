#include "common/support/temporary_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <utility>

#include "mgpu/error.hpp"

namespace mgpu {

namespace fs = std::filesystem;

namespace {

/// A note is a link to the folder, named by the folder's name and inode: a folder that later takes this name has another inode,
/// and one with this inode has another name.
std::string note_name(const std::string& folder, const struct stat& facts) {
  return fmt::format("{}.{}", folder.substr(folder.rfind('/') + 1), static_cast<std::uint64_t>(facts.st_ino));
}

void remove_noted(const fs::path& note) noexcept {
  std::error_code ignored;
  const fs::path folder = fs::read_symlink(note, ignored);
  struct stat facts {};
  if (ignored || lstat(folder.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode)) return;
  if (facts.st_uid == geteuid() && note.filename() == note_name(folder, facts)) fs::remove_all(folder, ignored);
}

/// Removes a folder with its contents. Notes are followed, other links are not.
void remove_folder(const std::string& path) noexcept {
  std::error_code ignored; // its file system is gone: nothing to do
  for (fs::directory_iterator at(path, ignored), end; !ignored && at != end; at.increment(ignored))
    if (std::error_code unknown; at->is_symlink(unknown)) remove_noted(at->path());
  fs::remove_all(path, ignored);
}

/// A folder younger than this may not be locked yet by its owner.
constexpr std::time_t young_s = 60;

/// Removes `path` if it is a folder of this user whose process has ended, so that its lock is free.
void remove_if_left(const std::string& path) noexcept {
  const int folder = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0) return;
  struct stat facts {};
  if (fstat(folder, &facts) == 0 && facts.st_uid == geteuid() && std::time(nullptr) - facts.st_mtime > young_s &&
      flock(folder, LOCK_EX | LOCK_NB) == 0)
    remove_folder(path);
  close(folder);
}

/// The host is part of the name: on a shared file system a lock may be valid on its own host only.
std::string host_name() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

} // namespace

TemporaryFolder::TemporaryFolder(const std::string& name) {
  const char* parent = std::getenv("TMPDIR");
  const std::string place = parent != nullptr && *parent != '\0' ? parent : "/tmp",
                    begin = fmt::format("{}.{}.", name, host_name());
  std::error_code ignored; // a missing place is reported below
  for (fs::directory_iterator at(place, ignored), end; !ignored && at != end; at.increment(ignored))
    if (at->path().filename().string().starts_with(begin)) remove_if_left(at->path());
  std::string path = fmt::format("{}/{}XXXXXX", place, begin);
  if (mkdtemp(path.data()) == nullptr)
    throw Error(fmt::format("cannot make the temporary folder {}: {} (TMPDIR names another place)", path, std::strerror(errno)));
  path_ = std::move(path);
  lock_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  // On a file system without locks nobody can take this one, and left folders stay.
  if (lock_ >= 0) flock(lock_, LOCK_EX | LOCK_NB);
}

TemporaryFolder::~TemporaryFolder() {
  remove();
}

void TemporaryFolder::remove() noexcept {
  if (!path_.empty()) remove_folder(path_);
  path_.clear();
  if (lock_ >= 0) close(std::exchange(lock_, -1));
}

void note_folder_elsewhere(const std::string& folder) noexcept {
  const char* temporary = std::getenv("TMPDIR");
  struct stat facts {};
  if (temporary == nullptr || folder.starts_with(std::string(temporary) + "/") || stat(folder.c_str(), &facts) != 0) return;
  // Without the note a killed process leaves the folder behind; nothing else depends on it.
  [[maybe_unused]] const int result = symlink(folder.c_str(), (std::string(temporary) + "/" + note_name(folder, facts)).c_str());
}

} // namespace mgpu
