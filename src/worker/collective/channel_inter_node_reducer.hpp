#pragma once
// A worker's way to the other nodes: frames `reduce` to its agent, `reduced` back.
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "common/wire/channel.hpp"
#include "worker/collective/inter_node_reducer.hpp"

namespace mgpu::worker::collective {

/// One a worker; makes an reducer for each exchange.
class ChannelReducers {
 public:
  /// `channel` must outlive this.
  explicit ChannelReducers(wire::Channel& channel) : channel_(channel) {}

  /// For the exchange whose SharedSpec::token it is. This must outlive the reducer.
  std::shared_ptr<InterNodeReducer> open(const std::string& token);
  /// To be called by the thread that reads the channel, with the payload of a frame `reduced`.
  void on_reduced(wire::View payload);
  /// Makes waiting and later calls of all reducers throw `reason`.
  void abort(std::string_view reason);

 private:
  class One;
  void begin(const std::string& token, const InterNodeSum& sum);
  void wait(const std::string& token, std::uint64_t id, double timeout_s, std::string_view operation);

  wire::Channel& channel_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::pair<std::string, std::uint64_t>> done_; ///< tokens and ids not yet waited for
  std::string reason_;                                   ///< of abort
};

} // namespace mgpu::worker::collective
