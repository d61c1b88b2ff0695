#pragma once
// Keeps a rank's worker alive: one that dies, or is late, is replaced by the next, and rank 0 is told what was in its hands.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/supervisor/bad_devices.hpp"
#include "agent/supervisor/watchdog.hpp"
#include "agent/supervisor/worker_link.hpp"
#include "common/wire/activity_table.hpp"

namespace mgpu::agent {

/// A worker that can be looked into.
class LocalWorker : public WorkerLink {
 public:
  virtual const wire::ActivityTable& activity_table() const = 0;
  virtual ProcessUsage usage() const = 0;
  /// The last lines it wrote to its standard error.
  virtual std::string last_words() const = 0;
};

/// Between the event loop and the workers of a rank. What it may do it reads from Configure as that passes by: until then, and for
/// workloads that do not ask for it, a worker's end is the end. Frames pass; a worker that dies while it works becomes the frame `died`,
/// after all it had said, and the next worker's hello follows.
class Supervisor final : public WorkerLink {
 public:
  using MakeWorker = std::function<std::unique_ptr<LocalWorker>()>;
  /// Asks whether a GPU, by UUID, can still be used: "" or why not.
  using ProbeDevice = std::function<std::string(const std::string& uuid)>;
  /// Starts the first worker.
  explicit Supervisor(MakeWorker make, ProbeDevice probe = probe_device, BadDevices bad = BadDevices());

  void post(wire::Type type, wire::View payload = {}) override;
  void flush() override { worker_->flush(); }
  bool poll(const OnWorkerFrame& handle) override;
  void wait(std::chrono::microseconds timeout) override { worker_->wait(timeout); }
  std::optional<std::string> ended() override;
  void kill() override;
  /// Ends the workers and lets them go. For those who leave by _exit.
  void end();

 private:
  bool pass_frames(const OnWorkerFrame& handle);
  void watch(double now);
  bool watched() const;
  void end_late(std::string reason, std::vector<wire::Activity> suspects, double now);
  void warm_spare(double now);
  bool replaceable() const;
  bool replace_dead(const OnWorkerFrame& handle, double now);
  void count(const wire::Died& died);
  void notice_pause(double now);
  wire::Died describe(const std::string& end) const;

  void look_at_device(wire::Died& died, bool stuck);

  MakeWorker make_;
  ProbeDevice probe_;
  BadDevices bad_;
  std::string uuid_;                            ///< of the GPU; "" on a CPU
  std::unique_ptr<LocalWorker> worker_, spare_; ///< the spare has started but knows nothing yet
  wire::Buffer spare_hello_;
  Watchdog watch_;
  std::int32_t max_restarts_ = 0; ///< that may die one after another; 0: a worker's end is the end
  bool configured_ = false, opened_ = false, finishing_ = false, killed_ = false, retired_ = false;
  bool worked_ = false;     ///< one of them has opened: what ends the next is not the model
  std::int32_t deaths_ = 0; ///< since the last result or checkpoint, but those that were asked for or narrowed a suspicion
  std::int32_t unborn_ = 0; ///< that ended before they could be configured, one after another
  std::uint64_t suspected_rows_ = 0; ///< when the last one died; 0: since a result nobody did
  double opened_s_ = 0, looked_s_ = 0;
  double polled_s_ = 0;
  double told_s_ = 0;        ///< when it was told to end at once; 0: it was not
  wire::FinalWords failure_; ///< what the worker said it failed by
  double failed_s_ = 0;
  std::string late_; ///< why we killed it
  std::vector<wire::Activity> late_suspects_;
  bool stalled_ = false; ///< it was late because it waited for files
  double late_s_ = 0;
};

} // namespace mgpu::agent
