#include <dirent.h>
#include <fmt/format.h>
#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <numeric>
#include <set>

#include "agent/manifest/sources.hpp"

namespace mgpu::agent::manifest {

namespace {

constexpr std::array<std::string_view, 15> image_extensions{"jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "dib",
                                                            "tif", "tiff", "gif", "ppm",  "pgm", "pbm",  "pnm"};
constexpr std::array<std::string_view, 16> audio_extensions{"wav", "flac", "mp3",  "ogg", "oga", "opus", "m4a", "aac",
                                                            "mp4", "wma",  "aiff", "aif", "au",  "amr",  "mka", "webm"};

/// Extension of a file name in lower case, without the dot; "" if it has none.
std::string extension(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {};
  std::string out(name.substr(dot + 1));
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

bool is_media(std::string_view path, Media media) {
  if (media == Media::any) return true;
  const std::string found = extension(path);
  if (media == Media::images) return std::find(image_extensions.begin(), image_extensions.end(), found) != image_extensions.end();
  return std::find(audio_extensions.begin(), audio_extensions.end(), found) != audio_extensions.end();
}

/// The kind of `path`, links followed. A dangling link counts as a file: its row reports the error.
enum class Kind : std::uint8_t { file, folder, other };
Kind kind_of(const std::string& path) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) return Kind::file;
  if (S_ISREG(facts.st_mode)) return Kind::file;
  return S_ISDIR(facts.st_mode) ? Kind::folder : Kind::other; // reading a pipe or device could block forever
}

void add_sorted(const StringColumn& paths, Builder& builder) {
  std::vector<std::uint32_t> order(paths.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return paths[a] < paths[b]; });
  for (const std::uint32_t row : order) builder.add(paths[row], 0);
}

class FolderWalk {
 public:
  FolderWalk(Media media, StringColumn& found) : media_(media), found_(found) {}

  /// Real folders first, then linked ones in the order of their names: a file's path then does not depend on the order of
  /// directory entries. Each folder is entered once, so that a link to a parent folder ends.
  void walk(const std::string& root) {
    folders_.push_back(root);
    while (!folders_.empty()) {
      while (!folders_.empty()) {
        const std::string folder = std::move(folders_.back());
        folders_.pop_back();
        list(folder);
      }
      std::sort(links_.begin(), links_.end(), std::greater<>());
      if (!links_.empty()) {
        folders_.push_back(std::move(links_.back()));
        links_.pop_back();
      }
    }
  }

 private:
  void list(const std::string& folder) {
    const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), &::closedir);
    struct stat facts {};
    if (!open || ::fstat(::dirfd(open.get()), &facts) != 0)
      throw usage_error(fmt::format("input {}: this folder cannot be read: {}", shown(folder), std::strerror(errno)));
    if (!entered_.emplace(facts.st_dev, facts.st_ino).second) return;
    const std::string prefix = folder.ends_with('/') ? folder : folder + '/';
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(open.get());
      if (entry == nullptr) break;
      if (entry->d_name[0] != '.') take(prefix + entry->d_name, entry->d_type);
    }
    if (errno != 0)
      throw usage_error(fmt::format("input {}: this folder cannot be read: {}", shown(folder), std::strerror(errno)));
  }

  void take(std::string path, unsigned char type) {
    const bool link = type == DT_LNK || (type == DT_UNKNOWN && is_link(path));
    const Kind kind = type == DT_REG ? Kind::file : type == DT_DIR ? Kind::folder : kind_of(path);
    if (kind == Kind::other) return;
    if (is_media(path, media_) && (kind == Kind::file || media_ != Media::any)) found_.append(path);
    if (kind == Kind::folder) (link ? links_ : folders_).push_back(std::move(path));
  }

  static bool is_link(const std::string& path) {
    struct stat facts {};
    return ::lstat(path.c_str(), &facts) == 0 && S_ISLNK(facts.st_mode);
  }

  Media media_;
  StringColumn& found_;
  std::vector<std::string> folders_, links_;
  std::set<std::pair<dev_t, ino_t>> entered_;
};

std::string_view noun(Media media) {
  return media == Media::images ? "picture" : media == Media::audio ? "recording" : "file";
}

} // namespace

void read_folder(const std::string& folder, Media media, Builder& builder) {
  StringColumn found;
  FolderWalk(media, found).walk(folder);
  if (found.size() == 0)
    throw usage_error(fmt::format("input {}: no items: not one {} in this folder or below", shown(folder), noun(media)));
  add_sorted(found, builder);
}

void read_glob(const std::string& pattern, Media media, Builder& builder) {
  glob_t matches{};
  const int failure = ::glob(pattern.c_str(), GLOB_NOSORT | GLOB_BRACE | GLOB_TILDE, nullptr, &matches);
  const std::unique_ptr<glob_t, void (*)(glob_t*)> owner(&matches, &::globfree);
  if (failure != 0 && failure != GLOB_NOMATCH)
    throw usage_error(fmt::format("input {}: the glob cannot be read", shown(pattern)));
  StringColumn found;
  for (std::size_t i = 0; i < matches.gl_pathc; ++i) {
    const std::string path = matches.gl_pathv[i];
    const Kind kind = kind_of(path);
    if (kind != Kind::other && is_media(path, media) && (kind == Kind::file || media != Media::any)) found.append(path);
  }
  if (found.size() == 0)
    throw usage_error(fmt::format("input {}: no items: no {} matches this glob", shown(pattern), noun(media)));
  add_sorted(found, builder);
}

} // namespace mgpu::agent::manifest
