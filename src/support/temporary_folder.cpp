#include "support/temporary_folder.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "mgpu/error.hpp"

namespace mgpu {

namespace fs = std::filesystem;

namespace {

/// A note is a link to the folder, called by the folder's name and inode: a folder that took its name later is another one, and so is
/// one that took its inode.
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

} // namespace

TemporaryFolder::TemporaryFolder(const std::string& name) {
  const char* parent = std::getenv("TMPDIR");
  std::string path = fmt::format("{}/{}.XXXXXX", parent != nullptr && *parent != '\0' ? parent : "/tmp", name);
  if (mkdtemp(path.data()) == nullptr)
    throw Error(fmt::format("cannot make the temporary folder {}: {} (TMPDIR names another place)", path, std::strerror(errno)));
  path_ = std::move(path);
}

void TemporaryFolder::remove() noexcept {
  if (path_.empty()) return;
  std::error_code ignored; // its file system has gone: nothing to be done, and the run is over
  for (const auto& entry : fs::directory_iterator(path_, ignored))
    if (entry.is_symlink(ignored)) remove_noted(entry.path());
  fs::remove_all(path_, ignored);
  path_.clear();
}

void note_folder_elsewhere(const std::string& folder) noexcept {
  const char* temporary = std::getenv("TMPDIR");
  struct stat facts {};
  if (temporary == nullptr || folder.starts_with(std::string(temporary) + "/") || stat(folder.c_str(), &facts) != 0) return;
  // Without the note the folder stays behind if this process is killed; nothing else depends on it.
  [[maybe_unused]] const int result = symlink(folder.c_str(), (std::string(temporary) + "/" + note_name(folder, facts)).c_str());
}

} // namespace mgpu
