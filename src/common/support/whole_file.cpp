#include "common/support/whole_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "common/support/text.hpp"
#include "mgpu/error.hpp"

namespace mgpu {

namespace {

Error failed(const std::string& path, const char* call, int error_number) {
  Error error(fmt::format("cannot write {}: {}: {}", show_path(path), call, std::strerror(error_number)));
  error.call = call;
  return error;
}

/// Returns errno, or 0.
int write_all(int fd, std::string_view content, bool durable) {
  while (!content.empty()) {
    const ssize_t done = ::write(fd, content.data(), content.size());
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return done < 0 ? errno : ENOSPC;
    content.remove_prefix(static_cast<std::size_t>(done));
  }
  return durable && ::fsync(fd) != 0 ? errno : 0;
}

void sync_folder(const std::string& path) {
  const std::string folder = std::filesystem::absolute(path).parent_path().string();
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw failed(folder, "open", errno);
  const int failure = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  // Some network file systems refuse to sync a folder; renames are on their server already.
  if (failure != 0 && failure != EINVAL && failure != ENOTSUP) throw failed(folder, "fsync", failure);
}

} // namespace

void write_whole_file(const std::string& path, std::string_view content, bool durable) {
  const std::string aside = path + ".new";
  if (::unlink(aside.c_str()) != 0 && errno != ENOENT) throw failed(aside, "unlink", errno);
  const int fd = ::open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd < 0) throw failed(aside, "open", errno);
  int failure = write_all(fd, content, durable);
  if (::close(fd) != 0 && failure == 0) failure = errno;
  const char* call = "write";
  if (failure == 0 && ::rename(aside.c_str(), path.c_str()) != 0) {
    failure = errno;
    call = "rename";
  }
  if (failure != 0) {
    ::unlink(aside.c_str());
    throw failed(path, call, failure);
  }
  if (durable) sync_folder(path);
}

void put_in_place(const std::string& aside, const std::string& path) {
  const int fd = ::open(aside.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw failed(aside, "open", errno);
  const int failure = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  if (failure != 0) throw failed(aside, "fsync", failure);
  if (::rename(aside.c_str(), path.c_str()) != 0) throw failed(path, "rename", errno);
  sync_folder(path);
}

} // namespace mgpu
