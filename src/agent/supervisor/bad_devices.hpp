#pragma once
// GPUs of this host that failed for good, remembered for a while, so that the next run does not begin with them.
#include <string>
#include <vector>

namespace mgpu::agent {

/// A GPU that is left out until its time is over.
struct BadDevice {
  std::string uuid, reason;
  double until_unix_s = 0;
};

/// The list in a file of this host and user, one line a GPU. Damaged lines are left out; a list that cannot be read is empty.
class BadDevices {
 public:
  explicit BadDevices(std::string path = default_path()) : path_(std::move(path)) {}
  /// $MGPU_BAD_DEVICES, else mgpu-bad-devices-UID in /tmp.
  static std::string default_path();

  /// Those whose time is not over at `now_unix_s`.
  std::vector<BadDevice> read(double now_unix_s) const;
  /// Adds or renews one, drops what is over. False when it cannot be written: then the next run finds out by itself.
  bool add(const BadDevice& device, double now_unix_s) const;

 private:
  std::string path_;
};

} // namespace mgpu::agent
