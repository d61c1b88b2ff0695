#pragma once
#include <sys/types.h>

#include <string>

namespace mgpu::agent {

/// A descriptor that the destructor closes.
class OwnedFd {
 public:
  explicit OwnedFd(int fd = -1) : fd_(fd) {}
  ~OwnedFd() { reset(); }
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.let_go()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept;
  int get() const { return fd_; }
  int let_go();
  void reset(int fd = -1);

 private:
  int fd_;
};

/// Starts the worker processes of an agent. The first one executes the program. The others are forked from a copy of it with its
/// libraries loaded (common/wire/fork_request.hpp); without that fork server they execute the program, too. All are children of
/// this process.
class WorkerStarter {
 public:
  /// Descriptors that a worker inherits besides the standard streams. The caller keeps them.
  struct Descriptors {
    int socket, ring, activity_table, errors;
  };

  explicit WorkerStarter(std::string program);
  /// Returns the process id. Throws Error when no worker can be started. Takes milliseconds, at most a second.
  pid_t start(const Descriptors& descriptors, const std::string& temporary_folder);
  /// Whether the next worker is forked. Checks whether the fork server is ready.
  bool forks();

 private:
  pid_t fork_worker(const Descriptors& descriptors, const std::string& temporary_folder);
  pid_t spawn(const Descriptors& descriptors, const std::string& temporary_folder);

  std::string program_;
  OwnedFd control_; ///< to the fork server; none before the first start and after a failure
  bool ready_ = false;
};

} // namespace mgpu::agent
