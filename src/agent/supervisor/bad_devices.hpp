#pragma once
// GPUs of this host that failed permanently. They are recorded for a while, so that the next run does not use them.
#include <string>
#include <vector>

namespace mgpu::agent {

/// A GPU that is excluded until a time.
struct BadDevice {
  std::string uuid, reason;
  double until_unix_s = 0;
};

/// The list, in a file per host and user, one line per GPU. Damaged lines are ignored; an unreadable list is empty.
class BadDevices {
 public:
  explicit BadDevices(std::string path = default_path()) : path_(std::move(path)) {}
  /// $MGPU_BAD_DEVICES, else mgpu-bad-devices-UID in /tmp.
  static std::string default_path();

  /// The devices that are still excluded at `now_unix_s`.
  std::vector<BadDevice> read(double now_unix_s) const;
  /// Adds or renews a device, drops expired ones. False when the file cannot be written: the next run then detects the failure.
  bool add(const BadDevice& device, double now_unix_s) const;

 private:
  std::string path_;
};

} // namespace mgpu::agent
