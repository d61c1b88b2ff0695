#include "agent/supervisor/worker_starter.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "common/wire/fork_request.hpp"
#include "mgpu/error.hpp"

extern char** environ;

namespace mgpu::agent {

namespace {

using wire::WorkerDescriptors;

/// A fork server that takes longer is given up, even on a busy machine: starting the program takes less.
constexpr int fork_limit_ms = 1000;

/// A separate process group: signals from mpirun or a terminal to the rank's group must reach only the agent, which decides what
/// the worker still finishes.
class SpawnAttributes {
 public:
  SpawnAttributes() {
    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes_, 0);
  }
  ~SpawnAttributes() { posix_spawnattr_destroy(&attributes_); }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
  const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_{};
};

class SpawnActions {
 public:
  SpawnActions() { posix_spawn_file_actions_init(&actions_); }
  ~SpawnActions() { posix_spawn_file_actions_destroy(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

/// This process's environment with another TMPDIR.
class ChildEnvironment {
 public:
  explicit ChildEnvironment(const std::string& temporary_folder) : temporary_("TMPDIR=" + temporary_folder) {
    for (char** each = environ; *each != nullptr; ++each)
      if (!std::string_view(*each).starts_with("TMPDIR=")) entries_.push_back(*each);
    entries_.push_back(temporary_.data());
    entries_.push_back(nullptr);
  }
  char* const* get() const { return entries_.data(); }

 private:
  std::string temporary_;
  std::vector<char*> entries_;
};

/// A copy of `fd` above the child's numbers, so that dup2 in the child does not overwrite one with the other.
OwnedFd copy_above(int fd) {
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, WorkerDescriptors::last + 1);
  if (copy < 0) throw Error(fmt::format("fcntl: {}", std::strerror(errno)));
  return OwnedFd(copy);
}

std::pair<OwnedFd, OwnedFd> socket_pair(int type) {
  int ends[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) throw Error(fmt::format("socketpair: {}", std::strerror(errno)));
  return {OwnedFd(ends[0]), OwnedFd(ends[1])};
}

bool readable(int fd, int limit_ms) {
  pollfd waiter{fd, POLLIN, 0};
  int got = 0;
  do {
    got = poll(&waiter, 1, limit_ms);
  } while (got < 0 && errno == EINTR);
  return got == 1;
}

} // namespace

OwnedFd& OwnedFd::operator=(OwnedFd&& other) noexcept {
  reset(other.let_go());
  return *this;
}

int OwnedFd::let_go() {
  return std::exchange(fd_, -1);
}

void OwnedFd::reset(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

WorkerStarter::WorkerStarter(std::string program) : program_(std::move(program)) {
  // Forked workers become children of this process.
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) throw Error(fmt::format("prctl: {}", std::strerror(errno)));
}

bool WorkerStarter::forks() {
  if (control_.get() < 0 || ready_ || !readable(control_.get(), 0)) return ready_;
  char said = 0;
  ready_ = recv(control_.get(), &said, 1, MSG_DONTWAIT) == 1 && said == wire::fork_server_ready;
  if (!ready_) control_.reset();
  return ready_;
}

pid_t WorkerStarter::start(const Descriptors& descriptors, const std::string& temporary_folder) {
  if (forks()) {
    if (const pid_t pid = fork_worker(descriptors, temporary_folder); pid > 0) return pid;
    control_.reset();
    ready_ = false;
  }
  return spawn(descriptors, temporary_folder);
}

/// 0 when the fork server has ended or does not answer. A worker that it forks too late ends, because nothing confirms it.
pid_t WorkerStarter::fork_worker(const Descriptors& descriptors, const std::string& temporary_folder) {
  auto [mine, its] = socket_pair(SOCK_STREAM);
  wire::ForkRequest request;
  request.descriptors = {its.get(), descriptors.socket, descriptors.ring, descriptors.activity_table, descriptors.errors};
  request.temporary_folder = temporary_folder;
  request.agent = getpid();
  if (!wire::send_fork_request(control_.get(), request)) return 0;
  its.reset();
  pid_t pid = 0;
  if (!readable(mine.get(), fork_limit_ms) || recv(mine.get(), &pid, sizeof pid, 0) != sizeof pid) return 0;
  return send(mine.get(), &wire::fork_server_ready, 1, MSG_NOSIGNAL) == 1 ? pid : 0;
}

pid_t WorkerStarter::spawn(const Descriptors& descriptors, const std::string& temporary_folder) {
  auto [mine, its] = socket_pair(SOCK_SEQPACKET);
  const std::pair<OwnedFd, int> places[] = {{copy_above(descriptors.socket), WorkerDescriptors::socket},
                                            {copy_above(descriptors.ring), WorkerDescriptors::ring},
                                            {copy_above(descriptors.activity_table), WorkerDescriptors::activity},
                                            {copy_above(its.get()), WorkerDescriptors::forks},
                                            {copy_above(descriptors.errors), STDERR_FILENO}};
  SpawnActions actions;
  for (const auto& [from, to] : places) posix_spawn_file_actions_adddup2(actions.get(), from.get(), to);
  // The child must not inherit other descriptors of this process (MPI's sockets among them).
  posix_spawn_file_actions_addclosefrom_np(actions.get(), WorkerDescriptors::last + 1);
  std::vector<std::string> arguments{program_};
  for (const auto& [name, number] :
       {std::pair("--socket", WorkerDescriptors::socket), std::pair("--ring", WorkerDescriptors::ring),
        std::pair("--activity", WorkerDescriptors::activity), std::pair("--forks", WorkerDescriptors::forks)}) {
    arguments.emplace_back(name);
    arguments.push_back(std::to_string(number));
  }
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  pid_t pid = -1;
  const SpawnAttributes attributes;
  const ChildEnvironment environment(temporary_folder);
  const int code = posix_spawn(&pid, program_.c_str(), actions.get(), attributes.get(), pointers.data(), environment.get());
  if (code != 0) throw Error(fmt::format("cannot start the worker {}: {}", program_, std::strerror(code)));
  control_ = std::move(mine);
  return pid;
}

} // namespace mgpu::agent
