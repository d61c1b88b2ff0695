#pragma once
// The agent's end of a worker, in one process: a real socket and a real ring, the worker on a thread.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <map>
#include <thread>

#include "common/wire/batch_result.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/items_messages.hpp"
#include "worker/run/session.hpp"
#include "worker/run/worker.hpp"

namespace mgpu::worker {

/// A result as the agent would keep it: its block copied out of the ring.
struct Received {
  std::vector<std::byte> block;
  bool shared = false; ///< came through the ring
  wire::BatchResult view() const { return wire::decode_batch_result(block); }
  /// Values of a fixed column, row-major.
  template <typename T>
  std::vector<T> values(std::uint32_t column) const {
    const wire::View data = view().columns.at(column).data;
    std::vector<T> values(data.size() / sizeof(T));
    std::memcpy(values.data(), data.data(), data.size());
    return values;
  }
  std::map<std::uint32_t, std::string> errors() const {
    const auto result = view();
    std::map<std::uint32_t, std::string> errors;
    for (const auto& [row, reason] : result.errors) errors[row] = std::string(reason);
    return errors;
  }
};

class Rig {
 public:
  explicit Rig(std::function<std::unique_ptr<Work>()> make_work, std::size_t ring_bytes = 1 << 20)
      : ends_(wire::Channel::make_pair()),
        ring_(wire::SharedMemory::create(ring_bytes)),
        activity_table_(wire::SharedMemory::create(wire::ActivityTable::size_bytes())),
        agent_(std::make_unique<wire::Channel>(ends_.first)) {
    worker_thread_ = std::thread([this, make_work] {
      wire::Channel channel(ends_.second);
      Worker worker(channel, ring_, wire::ActivityTable::in(activity_table_), [make_work](SessionParts parts) {
        return std::make_unique<Session>(std::move(parts), [make_work](const std::string&) { return make_work(); });
      });
      exit_code = worker.run();
    });
  }
  ~Rig() {
    agent_.reset();
    if (worker_thread_.joinable()) worker_thread_.join();
  }

  wire::Configure configuration(std::int64_t batch_size, int loaders = 2) const {
    wire::Configure configure;
    configure.job = "fake";
    configure.config_json = "{}";
    configure.batch_size = batch_size;
    configure.loaders = loaders;
    return configure;
  }
  void configure(const wire::Configure& configure) { agent_->send(wire::Type::configure, configure); }

  /// Grants one batch of items `first`…, whose paths are `paths`; of its rows only some may be wanted.
  void grant(std::uint64_t batch, std::uint64_t first, const std::vector<std::string>& paths, std::uint32_t wanted_begin = 0,
             std::uint32_t wanted_rows = 0) {
    wire::Grant grant;
    wire::BatchRange& range = grant.batches.emplace_back();
    range.batch = batch;
    range.first = first;
    range.wanted_begin = wanted_begin;
    range.wanted_rows = wanted_rows;
    for (std::size_t i = 0; i < paths.size(); ++i) {
      Item item;
      item.index = first + i;
      item.path = paths[i];
      grant.batches.back().items.push_back(item);
    }
    agent_->send(wire::Type::grant, grant);
  }
  void finish() { agent_->send(wire::Type::finish); }
  void hang_up() { agent_.reset(); }
  wire::ActivityTable& activity_table() { return wire::ActivityTable::in(activity_table_); }
  wire::Channel& agent() { return *agent_; }

  /// Receives until `done` or the worker is gone; false after 20 s.
  bool receive_until(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
      if (agent_->closed() || std::chrono::steady_clock::now() > deadline) return done();
      agent_->wait(std::chrono::milliseconds(100));
      agent_->receive([this](wire::Type type, wire::View payload) { take(type, payload); });
    }
    return true;
  }
  bool receive_results(std::size_t count) {
    return receive_until([this, count] { return results.size() >= count; });
  }
  /// Receives until the worker has closed its end; joins it.
  void receive_all() {
    EXPECT_TRUE(receive_until([this] { return agent_->closed(); }));
    worker_thread_.join();
  }

  std::vector<Received> results;
  std::vector<wire::Opened> opened;
  std::vector<wire::Failure> failures;
  std::vector<wire::Hello> hellos;
  std::vector<wire::Stats> stats;
  std::string trace;
  bool releases = true; ///< give ranges back as soon as they are read
  std::vector<wire::SharedRange> held;
  int exit_code = -1;

 private:
  void take(wire::Type type, wire::View payload) {
    if (type == wire::Type::hello) hellos.push_back(wire::decode<wire::Hello>(payload));
    if (type == wire::Type::opened) opened.push_back(wire::decode<wire::Opened>(payload));
    if (type == wire::Type::failure) failures.push_back(wire::decode<wire::Failure>(payload));
    if (type == wire::Type::stats) stats.push_back(wire::decode<wire::Stats>(payload));
    if (type == wire::Type::trace)
      trace += (trace.empty() ? "" : ",") + std::string(reinterpret_cast<const char*>(payload.data()), payload.size());
    if (type == wire::Type::results) results.push_back({{payload.begin(), payload.end()}, false});
    if (type != wire::Type::shared_results) return;
    const auto range = wire::decode<wire::SharedRange>(payload);
    const std::byte* begin = ring_.data() + range.offset;
    results.push_back({{begin, begin + range.size}, true});
    if (releases)
      agent_->send(wire::Type::release, range);
    else
      held.push_back(range);
  }

  std::pair<int, int> ends_;
  wire::SharedMemory ring_, activity_table_;
  std::unique_ptr<wire::Channel> agent_;
  std::thread worker_thread_;
};

} // namespace mgpu::worker
