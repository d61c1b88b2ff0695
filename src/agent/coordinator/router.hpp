#pragma once
// The event loop of ranks other than 0: forwards frames between rank 0 and the rank's worker, sends heartbeats, detects the end
// of the worker. Rank 0's coordinator makes the decisions.
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
  double heartbeat_s = 1.0;   ///< interval of this rank's heartbeats
  double rank_timeout_s = 25; ///< rank 0 is lost after this time of silence; its heartbeats replace the value
  /// `doctor`: the answer to a Survey.
  std::function<wire::Surveyed(const wire::Survey&)> survey;
};

/// run() returns when rank 0 sends bye, or throws (exit code 75) when rank 0 or the launcher is lost.
class Router {
 public:
  Router(comm::Messenger& messenger, WorkerLink& worker, const RouterOptions& options, Process process = {});
  /// Sends `join` to rank 0 and runs the event loop. Returns the exit code that rank 0 sent.
  int run(const wire::Join& join);
  /// A rank is lost: the process must exit without MPI_Finalize, which would wait for it.
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
  bool released_ = false; ///< rank 0 has sent its second bye: every rank that is left has answered the first
  wire::Signal told_;     ///< the signals already reported to rank 0
  wire::Heartbeat rank0_; ///< its last heartbeat
  std::string node_;      ///< of this rank
  std::optional<int> exit_code_;
};

/// Pauses that grow while nothing happens: an idle rank uses hardly any processor time, a busy one never waits.
class Backoff {
 public:
  /// The pause after a round in which something (`busy`) or nothing happened. 0: none.
  std::chrono::microseconds next(bool busy);

 private:
  int idle_rounds_ = 0;
};

} // namespace mgpu::agent
