#include "worker/collective/channel_inter_node_reducer.hpp"

#include <fmt/format.h>

#include <chrono>

#include "common/wire/training_messages.hpp"
#include "mgpu/error.hpp"

namespace mgpu::worker::collective {

class ChannelReducers::One final : public InterNodeReducer {
 public:
  One(ChannelReducers& all, std::string token) : all_(all), token_(std::move(token)) {}
  void begin(const InterNodeSum& sum) override { all_.begin(token_, sum); }
  void wait(std::uint64_t id, double timeout_s, std::string_view operation) override {
    all_.wait(token_, id, timeout_s, operation);
  }
  void abort(std::string_view reason) override { all_.abort(reason); }

 private:
  ChannelReducers& all_;
  std::string token_;
};

std::shared_ptr<InterNodeReducer> ChannelReducers::open(const std::string& token) {
  return std::make_shared<One>(*this, token);
}

void ChannelReducers::begin(const std::string& token, const InterNodeSum& sum) {
  wire::Reduce frame;
  frame.id = sum.id;
  frame.stream = static_cast<std::uint8_t>(sum.stream);
  frame.offset = sum.offset;
  frame.count = sum.count;
  frame.type = static_cast<std::uint8_t>(sum.type);
  frame.memory = token;
  channel_.post(wire::Type::reduce, frame);
  channel_.flush(); // the reading thread sends what the socket does not take now
}

void ChannelReducers::wait(const std::string& token, std::uint64_t id, double timeout_s, std::string_view operation) {
  const std::pair key{token, id};
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::duration<double>(timeout_s), [&] { return !reason_.empty() || done_.contains(key); });
  if (done_.erase(key) > 0) return;
  if (!reason_.empty()) throw Error(reason_);
  throw Error(fmt::format("{}: after {:g} s the sum over the nodes has not come", operation, timeout_s));
}

void ChannelReducers::abort(std::string_view reason) {
  {
    const std::lock_guard lock(mutex_);
    if (reason_.empty()) reason_ = reason;
  }
  changed_.notify_all();
}

void ChannelReducers::on_reduced(wire::View payload) {
  auto frame = wire::decode<wire::Reduce>(payload);
  {
    const std::lock_guard lock(mutex_);
    done_.emplace(std::move(frame.memory), frame.id);
  }
  changed_.notify_all();
}

} // namespace mgpu::worker::collective
