#pragma once
// Ranks for tests: processes made by fork, or threads that share one mapping (which a thread sanitizer can watch).
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "mgpu/error.hpp"
#include "worker/collective/shared_exchange.hpp"

namespace mgpu::worker::collective {

inline std::string new_token() {
  static int count = 0;
  return fmt::format("test-{}-{}", getpid(), count++);
}

/// Where processes of a test meet, whatever becomes of their exchange. Made before they are.
class MeetingPoint {
 public:
  explicit MeetingPoint(unsigned size)
      : barrier_(static_cast<pthread_barrier_t*>(
            ::mmap(nullptr, sizeof(pthread_barrier_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    pthread_barrierattr_t shared{};
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(barrier_, &shared, size);
    pthread_barrierattr_destroy(&shared);
  }
  ~MeetingPoint() { ::munmap(barrier_, sizeof *barrier_); }
  MeetingPoint(const MeetingPoint&) = delete;
  MeetingPoint& operator=(const MeetingPoint&) = delete;

  /// Waits for all.
  void meet() const { pthread_barrier_wait(barrier_); }

 private:
  pthread_barrier_t* barrier_;
};

/// Runs `body(rank)` in a process each; returns their wait statuses. A hang ends after `limit_s`.
inline std::vector<int> run_processes(int size, const std::function<void(int)>& body, unsigned limit_s = 60) {
  std::vector<pid_t> children;
  std::fflush(nullptr);
  for (int rank = 0; rank < size; ++rank) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(limit_s);
      try {
        body(rank);
      } catch (const std::exception& error) {
        ADD_FAILURE() << "rank " << rank << ": " << error.what();
      }
      std::fflush(nullptr);
      _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    children.push_back(child);
  }
  std::vector<int> statuses;
  for (const pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    statuses.push_back(status);
  }
  return statuses;
}

inline void expect_all_good(const std::vector<int>& statuses) {
  EXPECT_EQ(statuses, std::vector<int>(statuses.size(), 0));
}

/// What the ranks of one node need to meet.
inline SharedSpec one_node(const std::string& token, int rank, int size, double timeout_s = 30) {
  SharedSpec spec;
  spec.token = token;
  spec.rank = rank;
  spec.node_of.assign(static_cast<std::size_t>(size), 0);
  for (int i = 0; i < size; ++i) spec.hosts.push_back(fmt::format("host{}", i));
  spec.timeout_s = timeout_s;
  return spec;
}

/// The message of the Error that `call` throws; "" if it throws none.
inline std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

} // namespace mgpu::worker::collective
