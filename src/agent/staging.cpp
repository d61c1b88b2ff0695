#include "agent/staging.hpp"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <filesystem>

#include "support/clock.hpp"

namespace mgpu::agent {

namespace fs = std::filesystem;

namespace {
constexpr auto memory_folder = "/dev/shm";
constexpr auto prefix = "mgpu-model-";
constexpr long xfs_magic = 0x58465342;
constexpr long zfs_magic = 0x2fc12fc1;

std::uintmax_t tree_bytes(const fs::path& path) {
  if (!fs::is_directory(path)) return fs::file_size(path);
  std::uintmax_t total = 0;
  for (const auto& entry : fs::recursive_directory_iterator(path))
    if (entry.is_regular_file()) total += entry.file_size();
  return total;
}
} // namespace

bool on_local_disk(const std::string& path) {
  struct statfs facts {};
  if (statfs(path.c_str(), &facts) != 0) return true; // the worker that opens it says what is wrong
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

wire::Staged stage_model(const std::string& path) {
  const double begin = now_s();
  wire::Staged staged;
  const fs::path folder = fs::path(memory_folder) / fmt::format("{}{}-{}", prefix, getuid(), getpid());
  try {
    const std::uintmax_t wanted = tree_bytes(path);
    const std::uintmax_t free = fs::space(memory_folder).available;
    if (wanted > free)
      throw Error(fmt::format("{} needs {}, {} has {} free; use --load staggered", path, human_bytes(static_cast<double>(wanted)),
                              memory_folder, human_bytes(static_cast<double>(free))));
    fs::create_directory(folder);
    const fs::path source = fs::is_directory(path) ? fs::canonical(path) : fs::path(path);
    const fs::path copy = folder / source.filename();
    fs::copy(source, copy, fs::copy_options::recursive);
    staged.path = copy.string();
  } catch (const std::exception& error) {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
    staged.error = error.what();
  }
  staged.seconds = now_s() - begin;
  return staged;
}

void remove_staged(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  if (folder.parent_path() != memory_folder || !folder.filename().string().starts_with(prefix)) return;
  std::error_code ignored;
  fs::remove_all(folder, ignored);
}

} // namespace mgpu::agent
