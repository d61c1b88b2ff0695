#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "common/wire/channel.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/items_messages.hpp"
#include "common/wire/ring.hpp"
#include "mgpu/work.hpp"
#include "worker/batch/prefetcher.hpp"
#include "worker/batch/trace_events.hpp"
#include "worker/device/device_streams.hpp"
#include "worker/run/batch_runner.hpp"
#include "worker/run/recent_median.hpp"
#include "worker/run/result_sender.hpp"
#include "worker/run/worker_session.hpp"

namespace mgpu::worker {

using MakeWork = std::function<std::unique_ptr<Work>(const std::string& job)>;

/// One configured item run in a worker: opens the job, then processes granted batches on its own thread until finished.
///
/// Threads: the caller's thread adds grants, releases and finish; the run thread opens the model, runs the trial, and runs
/// batches in the order granted; loader threads prepare. None of them spins.
class Session final : public WorkerSession {
 public:
  /// Starts the run thread.
  Session(SessionParts parts, MakeWork make_work);
  /// Abandons unfinished batches and joins the threads.
  ~Session() override;

  void handle(wire::Type type, wire::View payload) override;
  void finish() override;
  int exit_code() const override { return exit_code_; }

 private:
  void add(wire::Grant grant);
  void thread_main();
  void open();
  void announce(double seconds);
  bool wait_for_loaders();
  void run_batches();
  Uploaded upload(const LoadedBatch& batch);
  RanBatch run(std::unique_ptr<LoadedBatch> batch, Uploaded uploaded);
  static void note_running(wire::ActivitySlot& slot, const wire::BatchRange& range);
  static void note_doing(wire::Doing doing, wire::ActivitySlot& slot, const wire::BatchRange& range);
  void note_typical(const RanBatch& ran, double run_s);
  void settle(RanBatch ran);
  void send_stats();

  wire::Configure configure_;
  MakeWork make_work_;
  wire::Channel& channel_;
  wire::ActivityTable& activity_table_;
  std::function<void()> ended_;
  Faults faults_;
  TraceEvents trace_;
  ResultSender sender_;
  RankContext context_;
  std::unique_ptr<Work> work_;
  std::unique_ptr<DeviceStreams> streams_;
  std::unique_ptr<BatchRunner> runner_;

  std::mutex mutex_;                       ///< guards the members that receive grants while the model opens
  std::unique_ptr<Prefetcher> prefetcher_; ///< created when the model is open; not replaced afterwards
  std::vector<wire::BatchRange> early_;
  bool finished_ = false, abandoned_ = false;

  bool announced_ = false;
  double busy_s_ = 0;
  std::uint64_t batches_ = 0;
  RecentMedian typical_batch_, typical_item_; ///< seconds
  std::chrono::steady_clock::time_point first_grant_, last_settled_;
  std::atomic<int> exit_code_ = 1; ///< read by the thread that is notified of the end
  std::thread thread_;
};

} // namespace mgpu::worker
