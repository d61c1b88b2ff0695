#pragma once
// Sums between nodes through the agent: frames `reduce` to it, `reduced` back.
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "common/wire/channel.hpp"
#include "worker/collective/inter_node_reducer.hpp"

namespace mgpu::worker::collective {

/// One per worker; makes a reducer for each exchange.
class ChannelReducers {
 public:
  /// `channel` must outlive this.
  explicit ChannelReducers(wire::Channel& channel) : channel_(channel) {}

  /// `token`: SharedSpec::token of the exchange. This object must outlive the reducer.
  std::shared_ptr<InterNodeReducer> open(const std::string& token);
  /// Called by the thread that reads the channel, with the payload of a frame `reduced`.
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
