#pragma once
// A rank's event loop: passes frames between rank 0 and the rank's worker, keeps the heartbeat, notices a worker that ended.
// Holds no policy: rank 0's coordinator decides.
#include <functional>
#include <memory>
#include <optional>

#include "agent/comm/messenger.hpp"
#include "agent/coordinator/process.hpp"
#include "agent/coordinator/staging.hpp"
#include "agent/supervisor/worker_link.hpp"
#include "common/support/suspension.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

struct RouterOptions {
  double heartbeat_s = 1.0;   ///< both ways
  double rank_timeout_s = 25; ///< rank 0 silent for this long: give up; rank 0's own word replaces it
  /// `doctor`: what to answer to a Survey.
  std::function<wire::Surveyed(const wire::Survey&)> survey;
};

/// What a rank that is not rank 0 does: run() returns when rank 0 says bye, or throws (exit 75) when rank 0 or the launcher is lost.
class Router {
 public:
  Router(comm::Messenger& messenger, WorkerLink& worker, const RouterOptions& options, Process process = {});
  /// Sends `join` to rank 0 and serves until the end. Returns the exit code rank 0 gave.
  int run(const wire::Join& join);
  /// Some rank is lost: MPI must be left without MPI_Finalize, which would wait for it.
  bool without_finalize() const { return without_finalize_; }

 private:
  bool step();
  void say_bye();
  void on_bye(const wire::Bye& bye);
  void pass_on_signals();
  void on_rank0(wire::Type type, wire::View payload);
  void on_worker(wire::Type type, wire::View payload, const std::shared_ptr<void>& owner);
  void watch_worker();
  void watch_rank0();
  void answer_staging();

  comm::Messenger& messenger_;
  WorkerLink& worker_;
  RouterOptions options_;
  Process process_;
  Staging staging_;
  double heard_s_ = 0, beat_s_ = 0;
  Suspension suspension_;
  bool reported_end_ = false, rank0_dead_ = false, without_finalize_ = false;
  bool released_ = false; ///< all who live have said bye
  wire::Signal told_;     ///< what rank 0 knows of signals here
  wire::Heartbeat rank0_; ///< its last word on itself
  std::string node_;      ///< of this rank
  std::optional<int> exit_code_;
};

/// Sleeps longer the longer nothing has happened, so that an idle rank costs next to nothing and a busy one never waits.
class Backoff {
 public:
  /// How long to wait after a round in which something (`busy`) or nothing happened. 0: do not wait.
  std::chrono::microseconds next(bool busy);

 private:
  int idle_rounds_ = 0;
};

} // namespace mgpu::agent
