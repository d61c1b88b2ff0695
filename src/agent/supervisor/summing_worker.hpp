#pragma once
// A worker whose node's sums this agent carries to the other nodes: between the event loop and the worker it takes frames `reduce`
// for itself, sums by MPI, and answers `reduced`. Everything else passes.
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
  /// `reducer`: nullptr where there is one node only. Both must outlive this.
  SummingWorker(WorkerLink& worker, comm::NodeReducer* reducer, int rank) : worker_(worker), reducer_(reducer), rank_(rank) {}
  /// As forget().
  ~SummingWorker() override { forget(); }

  void post(wire::Type type, wire::View payload = {}) override;
  void flush() override { worker_.flush(); }
  bool poll(const OnWorkerFrame& handle) override;
  void wait(std::chrono::microseconds timeout) override { worker_.wait(timeout); }
  std::optional<WorkerEnd> ended() override;
  void kill() override { worker_.kill(); }
  /// Removes the names of shared memory that the workers left behind; what is still under way is told to nobody.
  void forget();

 private:
  void begin(const wire::Reduce& request);

  WorkerLink& worker_;
  comm::NodeReducer* reducer_;
  int rank_;          ///< of the process; once there is a Configure, among those that train
  std::string token_; ///< "": not connected
  int node_ = 0;
  double timeout_s_ = 0;
  std::map<std::string, wire::NodeMemory> memories_; ///< by token; stay mapped while sums are under way
};

} // namespace mgpu::agent
