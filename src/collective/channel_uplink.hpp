#pragma once
// The uplink of a worker: frames `reduce` to its agent, `reduced` back.
#include <condition_variable>
#include <mutex>
#include <string>
#include <unordered_set>

#include "collective/uplink.hpp"
#include "wire/channel.hpp"

namespace mgpu::collective {

class ChannelUplink final : public Uplink {
 public:
  /// `channel` must outlive this.
  explicit ChannelUplink(wire::Channel& channel) : channel_(channel) {}

  void begin(const UplinkSum& sum) override;
  void wait(std::uint64_t id, double timeout_s, std::string_view operation) override;
  void abort(std::string_view reason) override;
  /// To be called by the thread that reads the channel, with the payload of a frame `reduced`.
  void on_reduced(wire::View payload);

 private:
  wire::Channel& channel_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_set<std::uint64_t> done_; ///< not yet waited for
  std::string reason_;                     ///< of abort
};

} // namespace mgpu::collective
