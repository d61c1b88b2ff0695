#pragma once
// The agent's end of a worker that is a thread of the agent, at the other end of a channel.
#include "agent/supervisor/worker_link.hpp"
#include "common/wire/channel.hpp"

namespace mgpu::agent {

class ThreadWorker final : public WorkerLink {
 public:
  explicit ThreadWorker(int fd) : channel_(fd) {}
  void post(wire::Type type, wire::View payload) override {
    if (type != wire::Type::supervise) channel_.post(type, payload); // that is for whoever watches a worker
  }
  void flush() override { channel_.flush(); }
  bool poll(const OnWorkerFrame& handle) override {
    return channel_.receive([&](wire::Type type, wire::View payload) { handle(type, payload, nullptr); }) > 0;
  }
  void wait(std::chrono::microseconds timeout) override { channel_.wait(timeout); }
  std::optional<WorkerEnd> ended() override { return std::nullopt; }
  void kill() override {}

 private:
  wire::Channel channel_;
};

} // namespace mgpu::agent
