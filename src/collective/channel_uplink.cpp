#include "collective/channel_uplink.hpp"

#include <fmt/format.h>

#include <chrono>

#include "mgpu/error.hpp"

namespace mgpu::collective {

void ChannelUplink::begin(const UplinkSum& sum) {
  wire::Reduce frame;
  frame.id = sum.id;
  frame.stream = static_cast<std::uint8_t>(sum.stream);
  frame.offset = sum.offset;
  frame.count = sum.count;
  frame.type = static_cast<std::uint8_t>(sum.type);
  channel_.post(wire::Type::reduce, frame);
  channel_.flush(); // what the socket does not take now goes with the reading thread
}

void ChannelUplink::wait(std::uint64_t id, double timeout_s, std::string_view operation) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::duration<double>(timeout_s), [&] { return !reason_.empty() || done_.contains(id); });
  if (done_.erase(id) > 0) return;
  if (!reason_.empty()) throw Error(reason_);
  throw Error(fmt::format("{}: after {:g} s the sum over the nodes has not come", operation, timeout_s));
}

void ChannelUplink::abort(std::string_view reason) {
  {
    const std::lock_guard lock(mutex_);
    if (reason_.empty()) reason_ = reason;
  }
  changed_.notify_all();
}

void ChannelUplink::on_reduced(wire::View payload) {
  {
    const std::lock_guard lock(mutex_);
    done_.insert(wire::decode<wire::Reduce>(payload).id);
  }
  changed_.notify_all();
}

} // namespace mgpu::collective
