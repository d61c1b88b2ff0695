#pragma once
// Supervises a rank's worker: replaces one that dies or is late, and reports to rank 0 what it was executing.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/gpu_health/health_reporter.hpp"
#include "agent/gpu_health/nvml.hpp"
#include "agent/supervisor/bad_devices.hpp"
#include "agent/supervisor/node_memory_names.hpp"
#include "agent/supervisor/watchdog.hpp"
#include "agent/supervisor/worker_link.hpp"
#include "agent/supervisor/worker_state.hpp"
#include "common/support/clock.hpp"
#include "common/support/suspension.hpp"
#include "common/wire/activity_table.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

/// A worker on this node, with its activity table and process usage.
class LocalWorker : public WorkerLink {
 public:
  virtual const wire::ActivityTable& activity_table() const = 0;
  virtual ProcessUsage usage() const = 0;
  /// The last lines of its standard error.
  virtual std::string last_words() const = 0;
};

/// The link between the event loop and the workers of a rank. The frame Supervise sets the limits: before it, or without
/// restarts, the end of a worker is the end of the rank. Other frames pass. When a working worker dies, the event loop gets all
/// frames that it had sent, then the frame `died`, then the next worker's hello. The state of the GPU that Supervise names becomes
/// frames `health`; a GPU that fails is excluded from later runs.
class Supervisor final : public WorkerLink {
 public:
  using MakeWorker = std::function<std::unique_ptr<LocalWorker>()>;
  /// Whether a GPU, by UUID, can still be used: "" or why not.
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
  /// Ends the workers; for a process that exits by _exit.
  void end();

 private:
  /// The state of the current worker; the next one starts with a new Life.
  struct Life {
    WorkerState state = WorkerState::starting;
    double entered_s = 0;                 ///< when the state was entered
    bool opened = false;                  ///< the model is open
    bool halted = false;                  ///< it was told to end: its end is not counted as a death
    std::optional<wire::Failure> failure; ///< the failure that it reported
    std::optional<Watchdog::Late> late;   ///< why it was killed
    double late_s = 0;                    ///< when it was killed
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
  wire::Supervise limits_;   ///< no restarts before the frame Supervise
  Watchdog watchdog_;
  Suspension suspension_;

  std::unique_ptr<LocalWorker> worker_, standby_; ///< the standby worker has started and waits for a configuration
  wire::Buffer standby_hello_;
  double standby_due_s_ = 0; ///< when a standby worker may be started
  Life life_;
  NodeMemoryNames memory_names_;

  std::string uuid_;         ///< of the GPU; "" on a CPU
  bool model_opens_ = false; ///< a worker has opened the model: the model is then not the cause of a later death
  std::int32_t deaths_ = 0;  ///< since the last result or checkpoint; without requested ends and deaths that narrow a suspicion
  std::int32_t unborn_ = 0;  ///< workers in a row that ended before they were configured
  std::uint64_t suspected_rows_ = 0; ///< rows suspected at the last death; 0: a result has arrived since
  double looked_s_ = 0;
};

} // namespace mgpu::agent
