#pragma once
// OUTPUT.lock: the right to write an output, the files beside it and its checkpoints. The file stays when a run ends: if it were
// removed, two processes could lock the same name with different inodes.
#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace mgpu::agent::write {

class OutputLock {
 public:
  enum class Way : std::uint8_t {
    flock,
    fcntl, ///< the file system refuses flock: a lock of the open file description (F_OFD_SETLK)
    beat,  ///< it refuses both: host, process and a number in the file that increases during the run
  };
  /// Permitted ways and times. Tests restrict the ways; a run tries all of them.
  struct Options {
    bool flock = true, fcntl = true;
    std::chrono::milliseconds beat{5000}; ///< interval of beats
    std::chrono::milliseconds silence{
        20000}; ///< a holder without a beat for this time is dead; a holder stops itself after half of it
  };

  static std::string path_of(const std::string& output) { return output + ".lock"; }

  /// Takes the lock file at `path`, made if missing. Waits for another holder, at most `limit`. `shown`: the name of the locked
  /// output in messages. Throws usage_error: held by another process, the file cannot be made or written, or is not a lock file.
  static std::shared_ptr<OutputLock> take(const std::string& path, const std::string& shown, std::chrono::milliseconds limit = {},
                                          Options options = all_ways());
  ~OutputLock();
  OutputLock(const OutputLock&) = delete;
  OutputLock& operator=(const OutputLock&) = delete;

  Way way() const { return way_; }
  const std::string& path() const { return path_; }
  /// Throws Error unless this process still holds it: the file is still at its path, and no other process has written to it.
  void require() const;

 private:
  struct Beating;
  static Options all_ways() { return {}; }
  OutputLock(std::string path, int fd);
  bool acquire(const Options& options);
  bool claim_by_beat(const Options& options);

  std::string path_;
  int fd_;
  struct stat facts_ {};
  Way way_ = Way::flock;
  bool mine_ = false;
  std::shared_ptr<Beating> beating_; ///< of Way::beat
};

} // namespace mgpu::agent::write
