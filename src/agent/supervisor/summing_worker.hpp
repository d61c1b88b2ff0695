#pragma once
// A worker link that performs sums between nodes: it intercepts the worker's `reduce` frames, sums by MPI, and answers with
// `reduced`. All other frames pass.
#include <map>
#include <optional>
#include <string>

#include "agent/comm/node_reducer.hpp"
#include "agent/supervisor/worker_link.hpp"
#include "common/wire/node_memory.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

class SummingWorker final : public WorkerLink {
 public:
  /// Both must outlive this object.
  SummingWorker(WorkerLink& worker, comm::NodeReducer& reducer, int rank) : worker_(worker), reducer_(&reducer), rank_(rank) {}

  void post(wire::Type type, wire::View payload = {}) override;
  void flush() override { worker_.flush(); }
  bool poll(const OnWorkerFrame& handle) override;
  void wait(std::chrono::microseconds timeout) override { worker_.wait(timeout); }
  std::optional<WorkerEnd> ended() override;
  void kill() override { worker_.kill(); }

 private:
  void begin(const wire::Reduce& request);

  WorkerLink& worker_;
  comm::NodeReducer* reducer_; ///< nullptr after it has failed
  int rank_;                   ///< of the process; after a Configure: among the ranks that train
  bool connected_ = false;     ///< false: pending sums are reported to nobody
  int node_ = 0;
  double timeout_s_ = 0;
  std::map<std::string, wire::NodeMemory> memories_; ///< by token; mapped while sums are pending
};

} // namespace mgpu::agent
