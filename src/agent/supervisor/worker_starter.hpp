#pragma once
#include <sys/types.h>

#include <string>

namespace mgpu::agent {

/// A descriptor that is closed in the end.
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

/// Starts the worker processes of an agent: the first is the program, the others are forked by a copy of it that has its libraries loaded
/// already, as long as there is one (common/wire/fork_request.hpp); else they are the program, too. All are children of this process.
class WorkerStarter {
 public:
  /// What a worker inherits beside the standard streams. They stay the caller's.
  struct Descriptors {
    int socket, ring, activity_table, errors;
  };

  explicit WorkerStarter(std::string program);
  /// The process id. Throws Error when none can be started. Takes milliseconds, at most a second.
  pid_t start(const Descriptors& descriptors, const std::string& temporary_folder);
  /// Whether the next one is forked. (Looks once whether the fork server has become ready.)
  bool forks();

 private:
  pid_t fork_worker(const Descriptors& descriptors, const std::string& temporary_folder);
  pid_t spawn(const Descriptors& descriptors, const std::string& temporary_folder);

  std::string program_;
  OwnedFd control_; ///< to the fork server; none before the first start and after it failed
  bool ready_ = false;
};

} // namespace mgpu::agent
