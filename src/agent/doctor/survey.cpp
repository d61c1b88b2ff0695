#include "agent/doctor/survey.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include "common/support/clock.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent::doctor {

namespace {

/// Names of interfaces that are up and have an address, without the loopback's.
std::vector<std::string> interfaces() {
  ifaddrs* list = nullptr;
  std::vector<std::string> names;
  if (getifaddrs(&list) != 0) return names;
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || (each->ifa_addr->sa_family != AF_INET && each->ifa_addr->sa_family != AF_INET6)) continue;
    if ((each->ifa_flags & IFF_UP) == 0 || (each->ifa_flags & IFF_LOOPBACK) != 0) continue;
    if (std::find(names.begin(), names.end(), each->ifa_name) == names.end()) names.emplace_back(each->ifa_name);
  }
  freeifaddrs(list);
  return names;
}

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A file that another node has just made appears on NFS when the client's cache of the folder is over.
std::string look_for(const std::string& path, const std::string& text) {
  if (path.empty()) return {}; // rank 0 could not write one
  constexpr double limit_s = 5;
  const std::string folder = std::filesystem::path(path).parent_path().string();
  for (const double limit = now_s() + limit_s;; std::this_thread::sleep_for(std::chrono::milliseconds(200))) {
    std::error_code error;
    if (read_all(path) == text) return {};
    if (now_s() < limit) continue;
    if (!std::filesystem::is_directory(folder, error)) return fmt::format("there is no folder {}", folder);
    return fmt::format("the folder {} is another one there: a file that rank 0 has written is not in it", folder);
  }
}

} // namespace

Token::Token(const std::string& folder) {
  std::random_device random;
  text_ = fmt::format("{:08x}{:08x}", random(), random());
  path_ = (std::filesystem::absolute(folder) / (".mgpu-doctor-" + text_)).lexically_normal().string();
  const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const bool written =
      fd >= 0 && ::write(fd, text_.data(), text_.size()) == static_cast<ssize_t>(text_.size()) && ::fsync(fd) == 0;
  const int reason = errno;
  if (fd >= 0) ::close(fd);
  if (written) return;
  if (fd >= 0) ::unlink(path_.c_str());
  throw usage_error(fmt::format("--output: cannot write in {}: {}", folder, std::strerror(reason)));
}

Token::~Token() {
  ::unlink(path_.c_str());
}

wire::Surveyed survey(const wire::Survey& asked) {
  wire::Surveyed facts;
  facts.asked_unix_s = unix_now_s();
  struct statvfs shm {};
  if (::statvfs("/dev/shm", &shm) == 0) facts.shm_free_bytes = static_cast<std::uint64_t>(shm.f_bavail) * shm.f_frsize;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) facts.open_files = files.rlim_cur;
  facts.node_cores = static_cast<std::int32_t>(::sysconf(_SC_NPROCESSORS_ONLN));
  facts.interfaces = interfaces();
  if (const char* set = std::getenv("NCCL_SOCKET_IFNAME"); set != nullptr) facts.nccl_interface = set;
  facts.folder_error = look_for(asked.token_path, asked.token);
  facts.answered_unix_s = unix_now_s();
  return facts;
}

} // namespace mgpu::agent::doctor
