#pragma once
// Keeps a rank's worker alive: one that dies, or is late, is replaced by the next, and rank 0 is told what was in its hands.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/gpu_health/health_reporter.hpp"
#include "agent/gpu_health/nvml.hpp"
#include "agent/supervisor/bad_devices.hpp"
#include "agent/supervisor/watchdog.hpp"
#include "agent/supervisor/worker_link.hpp"
#include "agent/supervisor/worker_state.hpp"
#include "common/support/clock.hpp"
#include "common/support/suspension.hpp"
#include "common/wire/activity_table.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

/// A worker that can be looked into.
class LocalWorker : public WorkerLink {
 public:
  virtual const wire::ActivityTable& activity_table() const = 0;
  virtual ProcessUsage usage() const = 0;
  /// The last lines it wrote to its standard error.
  virtual std::string last_words() const = 0;
};

/// Between the event loop and the workers of a rank. The frame Supervise tells what it may do: before it, or without restarts, a worker's
/// end is the rank's. Other frames pass. A worker that dies while it works becomes the frame `died`, after all frames it had sent, and the
/// next worker's hello follows. What the GPU that Supervise names shows becomes frames `health`; one that fails is left out of later runs.
class Supervisor final : public WorkerLink {
 public:
  using MakeWorker = std::function<std::unique_ptr<LocalWorker>()>;
  /// Asks whether a GPU, by UUID, can still be used: "" or why not.
  using ProbeDevice = std::function<std::string(const std::string& uuid)>;
  /// What watches a GPU; called on a thread of its own.
  using WatchDevice = std::function<std::unique_ptr<gpu_health::GpuProbe>(const std::string& uuid)>;
  /// Starts the first worker.
  explicit Supervisor(
      MakeWorker make, ProbeDevice probe = [](const std::string& uuid) { return gpu_health::probe_device(uuid); },
      BadDevices bad = BadDevices(), Clock clock = now_s, WatchDevice watch = gpu_health::open_nvml_probe);

  void post(wire::Type type, wire::View payload = {}) override;
  void flush() override { worker_->flush(); }
  bool poll(const OnWorkerFrame& handle) override;
  void wait(std::chrono::microseconds timeout) override { worker_->wait(timeout); }
  std::optional<WorkerEnd> ended() override;
  void kill() override;
  /// Ends the workers and lets them go. For those who leave by _exit.
  void end();

 private:
  /// What is known of the present worker; another begins with a new one.
  struct Life {
    WorkerState state = WorkerState::starting;
    double entered_s = 0;                 ///< the state
    bool opened = false;                  ///< its model
    bool halted = false;                  ///< it was told to end: its death is not counted
    std::optional<wire::Failure> failure; ///< that it reported
    std::optional<Watchdog::Late> late;   ///< why it was killed
    double late_s = 0;                    ///< when
  };

  void enter(WorkerEvent event);
  bool pass_frames(const OnWorkerFrame& handle);
  bool keep_failure(wire::View payload);
  void watch();
  void end_late(Watchdog::Late late);
  void warm_standby();
  bool replaceable() const;
  bool is_stuck() const;
  bool replace_dead(const OnWorkerFrame& handle);
  bool start_next(wire::Died& died);
  void count(const wire::Died& died);
  wire::Failure reported() const;
  wire::Died describe(const WorkerEnd& end) const;
  bool cannot_use_device(wire::Died& died, bool stuck, bool retired);
  void watch_device();
  bool tell_health(const OnWorkerFrame& handle);
  void leave_out(const std::string& uuid, const std::string& reason);

  MakeWorker make_;
  ProbeDevice probe_;
  BadDevices bad_;
  Clock clock_;
  WatchDevice watch_device_;
  std::unique_ptr<gpu_health::HealthReporter> health_;
  std::string watched_uuid_; ///< by health_
  bool drained_ = false;     ///< the GPU is on the list
  wire::Supervise limits_;   ///< without restarts until the frame comes
  Watchdog watchdog_;
  Suspension suspension_;

  std::unique_ptr<LocalWorker> worker_, standby_; ///< the standby worker has started and waits for its configuration
  wire::Buffer standby_hello_;
  double standby_due_s_ = 0; ///< when one may be started
  Life life_;

  std::string uuid_;         ///< of the GPU; "" on a CPU
  bool model_opens_ = false; ///< one of them has opened it: what ends the next is not the model
  std::int32_t deaths_ = 0;  ///< since the last result or checkpoint, without those that were asked for or narrowed a suspicion
  std::int32_t unborn_ = 0;  ///< that ended before they were configured, one after another
  std::uint64_t suspected_rows_ = 0; ///< when the last one died; 0: since a result nobody did
  double looked_s_ = 0;
};

} // namespace mgpu::agent
