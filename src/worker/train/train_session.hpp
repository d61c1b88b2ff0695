#pragma once
// A training in a worker: receives rank 0's frames, then trains on its own thread.
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "common/wire/control_messages.hpp"
#include "common/wire/training_messages.hpp"
#include "worker/collective/channel_inter_node_reducer.hpp"
#include "worker/run/worker_session.hpp"
#include "worker/train/probe.hpp"
#include "worker/train/trainer.hpp"

namespace mgpu::worker::train {

using MakeTraining = std::function<std::unique_ptr<Training>(const std::string& job)>;

class TrainSession final : public WorkerSession {
 public:
  TrainSession(SessionParts parts, MakeTraining make_training);
  ~TrainSession() override;

  void handle(wire::Type type, wire::View payload) override;
  void finish() override;
  int exit_code() const override { return exit_code_; }

 private:
  void on_items(wire::Items items);
  void on_halt(const wire::Halt& halt);
  void thread_main();
  /// Waits until `ready` is true; throws when the run is cancelled.
  template <typename Ready>
  void wait_for(const Ready& ready);
  void open();
  std::int64_t kept_by_steps() const;
  void check_cuda_graph() const;
  void announce(double seconds, const Probe& probe, std::int64_t batch_size);
  Reports reports();
  void send_stats();

  wire::Configure configure_;
  MakeTraining make_training_;
  wire::Channel& channel_;
  wire::ActivityTable& activity_table_;
  std::function<void()> ended_;
  collective::ChannelReducers reducers_; ///< sums between nodes
  TraceEvents trace_;
  RankContext context_;
  std::unique_ptr<DeviceStreams> streams_;
  std::unique_ptr<Training> training_;
  std::vector<NamedTensor> in_order_;
  Settings settings_;

  std::mutex mutex_; ///< guards the members below
  std::condition_variable changed_;
  DataSets data_;
  std::uint64_t expected_[2] = {0, 0};
  bool complete_[2] = {false, false};
  std::optional<wire::Connect> connect_;
  std::optional<std::string> given_up_;
  bool stop_ = false, finished_ = false;
  std::unique_ptr<Trainer> trainer_;

  double wall_s_ = 0;
  std::atomic<int> exit_code_ = 1; ///< read by the thread that is notified of the end
  std::thread thread_;
};

} // namespace mgpu::worker::train
