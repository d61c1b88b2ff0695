#include "agent/supervisor/summing_worker.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/training_messages.hpp"

#include <fmt/format.h>

namespace mgpu::agent {

using wire::Type;

void SummingWorker::post(Type type, wire::View payload) {
  if (type == Type::configure) rank_ = wire::decode<wire::Configure>(payload).rank;
  if (type == Type::connect) {
    const auto connect = wire::decode<wire::Connect>(payload);
    if (reducer_ != nullptr && connect.attempt > 1) reducer_->drop();
    connected_ = true;
    node_ = connect.node_of.at(static_cast<std::size_t>(rank_));
    timeout_s_ = connect.timeout_s;
  }
  worker_.post(type, payload);
}

bool SummingWorker::poll(const OnWorkerFrame& handle) {
  const auto fail = [&](const Error& error) {
    wire::Buffer bytes;
    wire::encode(wire::Failure{static_cast<std::int32_t>(error.code()), error.what(), wire::FailureCause::collective}, bytes);
    handle(Type::failure, bytes, nullptr);
    reducer_ = nullptr; // reported once
  };
  bool busy = worker_.poll([&](Type type, wire::View payload, const std::shared_ptr<void>& owner) {
    if (type == Type::died) connected_ = false; // the next worker has not asked for what is under way
    if (type != Type::reduce) return handle(type, payload, owner);
    try {
      begin(wire::decode<wire::Reduce>(payload));
    } catch (const Error& error) {
      fail(error);
    }
  });
  if (reducer_ == nullptr) return busy;
  try {
    bool answered = false;
    busy |= reducer_->poll(timeout_s_, [&](const wire::Reduce& done) {
      if (!connected_) return;
      wire::Buffer bytes;
      wire::encode(done, bytes);
      worker_.post(Type::reduced, bytes);
      answered = true;
    });
    if (answered) worker_.flush(); // the worker waits for the answer
  } catch (const Error& error) {
    fail(error);
  }
  return busy;
}

void SummingWorker::begin(const wire::Reduce& request) {
  if (reducer_ == nullptr) throw Error(fmt::format("rank {}: the sums between nodes have failed before", rank_));
  auto memory = memories_.find(request.memory);
  if (memory == memories_.end()) {
    if (!reducer_->busy()) memories_.clear(); // the memory of earlier stages
    memory = memories_.emplace(request.memory, wire::NodeMemory::open(request.memory, node_)).first;
    if (memory->second.data() == nullptr)
      throw Error(fmt::format("rank {}: {} is not there", rank_, wire::node_memory_path(request.memory, node_)));
  }
  reducer_->begin(request, memory->second.data(), memory->second.size_bytes());
}

std::optional<WorkerEnd> SummingWorker::ended() {
  auto end = worker_.ended();
  if (end) connected_ = false;
  return end;
}

} // namespace mgpu::agent
