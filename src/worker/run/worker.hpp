#pragma once
#include <functional>
#include <memory>

#include "common/wire/channel.hpp"
#include "common/wire/ring.hpp"
#include "worker/run/worker_session.hpp"

namespace mgpu::worker {

/// The worker's side of the connection with its agent: sends Hello; Configure makes a session, which gets all later frames; ends
/// after Finish, after a failure, or when the agent ends.
class Worker {
 public:
  /// `agent_gone` is called as soon as the agent has closed its end, before any wait.
  Worker(
      wire::Channel& channel, wire::SharedMemory& ring, wire::ActivityTable& activity_table, MakeSession make_session,
      std::function<void()> agent_gone = [] {});
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Runs until the end; returns the exit code. Throws Error on a malformed frame.
  int run();

 private:
  void handle(wire::Type type, wire::View payload);
  void wait();

  wire::Channel& channel_;
  wire::SharedMemory& ring_;
  wire::ActivityTable& activity_table_;
  MakeSession make_session_;
  std::function<void()> agent_gone_;
  int ended_fd_;
  bool ended_ = false;
  bool finished_ = false;
  std::unique_ptr<WorkerSession> session_;
};

} // namespace mgpu::worker
