#pragma once
// A supervisor whose workers are objects that do as they are told.
#include <gmock/gmock.h>
#include <unistd.h>

#include <chrono>
#include <deque>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "agent/supervisor/supervisor.hpp"
#include "common/support/clock.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

using testing::HasSubstr;
using wire::Type;

/// What a scripted worker has to say, and how it ends.
class ScriptedWorker final : public LocalWorker {
 public:
  ScriptedWorker() : memory_(wire::SharedMemory::create(wire::ActivityTable::size_bytes())) { say(Type::hello, wire::Hello{}); }

  void post(Type type, wire::View) override { posted.push_back(type); }
  void flush() override {}
  bool poll(const OnWorkerFrame& handle) override {
    board().beat();
    const bool any = !frames_.empty();
    for (; !frames_.empty(); frames_.pop_front()) handle(frames_.front().first, wire::View(frames_.front().second), nullptr);
    return any;
  }
  void wait(std::chrono::microseconds timeout) override { std::this_thread::sleep_for(timeout); }
  std::optional<WorkerEnd> ended() override {
    if (!end) return std::nullopt;
    return WorkerEnd{*end, end->starts_with("killed by signal ") ? std::stoi(end->substr(17)) : 0};
  }
  void kill() override { end = "killed by signal 9 (Killed)"; }
  const wire::ActivityTable& activity_table() const override { return wire::ActivityTable::in(memory_); }
  ProcessUsage usage() const override { return usage_; }
  std::string last_words() const override { return "so long"; }

  wire::ActivityTable& board() { return wire::ActivityTable::in(memory_); }
  template <typename Message>
  void say(Type type, const Message& message) {
    wire::Buffer bytes;
    wire::encode(message, bytes);
    frames_.emplace_back(type, std::move(bytes));
  }
  void say_result() { frames_.emplace_back(Type::results, wire::Buffer()); }

  std::vector<Type> posted;
  std::optional<std::string> end;
  ProcessUsage usage_;

 private:
  mutable wire::SharedMemory memory_;
  std::deque<std::pair<Type, wire::Buffer>> frames_;
};

class SupervisorTest : public testing::Test {
 protected:
  std::vector<ScriptedWorker*> workers_; ///< alive: the last; in front of the supervisor, which makes the first at once
  std::string bad_path_ = testing::TempDir() + "mgpu_supervisor_bad_" + std::to_string(getpid());
  std::string trouble_;  ///< what the driver says of the GPU
  bool no_more_ = false; ///< another cannot be started
  Supervisor supervisor_{[this] {
                           if (no_more_) throw Error("pipe2: too many open files");
                           auto worker = std::make_unique<ScriptedWorker>();
                           workers_.push_back(worker.get());
                           return worker;
                         },
                         [this](const std::string&) { return trouble_; }, BadDevices(bad_path_)};
  void TearDown() override { std::filesystem::remove(bad_path_); }

  ScriptedWorker& worker() { return *workers_.back(); }
  void configure(std::int32_t max_restarts, double item_timeout_s = 0, double stall_timeout_s = 0) {
    wire::Supervise limits;
    limits.batch_size = 16;
    limits.restarts = max_restarts != 0 ? 1 : 0;
    limits.max_restarts = max_restarts;
    limits.item_timeout_s = item_timeout_s;
    limits.stall_timeout_s = stall_timeout_s;
    wire::Buffer bytes;
    wire::encode(limits, bytes);
    supervisor_.post(Type::supervise, bytes);
    bytes.clear();
    wire::encode(wire::Configure(), bytes);
    supervisor_.post(Type::configure, bytes);
  }
  void open(std::int32_t max_restarts = 2, double item_timeout_s = 0, const std::string& uuid = "") {
    configure(max_restarts, item_timeout_s);
    wire::Opened opened;
    opened.uuid = uuid;
    worker().say(Type::opened, opened);
    poll();
  }
  void poll() {
    supervisor_.poll([this](Type type, wire::View payload, const std::shared_ptr<void>&) {
      seen_.push_back(type);
      if (type == Type::died) died_.push_back(wire::decode<wire::Died>(payload));
    });
  }
  template <typename Done>
  bool poll_until(Done done, double limit_s = 10) {
    for (const double limit = now_s() + limit_s; now_s() < limit;) {
      poll();
      if (done()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }

  std::vector<Type> seen_;
  std::vector<wire::Died> died_;
};

} // namespace mgpu::agent
