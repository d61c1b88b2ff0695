#pragma once
// Reads a model once per node: the node's first rank copies it to /dev/shm, and every worker of the node opens the copy.
#include <memory>
#include <optional>
#include <string>

#include "common/support/side_thread.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

/// True when `path` is on a local file system: the ranks of the node share its page cache anyway.
bool on_local_disk(const std::string& path);

/// Removes the folders that dead agents of this user left in /dev/shm.
void sweep_staged();

/// A folder in /dev/shm with an unpredictable name, which only this user can enter. The destructor removes it. If the process is
/// killed, the next sweep on this node does, because the folder's lock is then free.
class StagingFolder {
 public:
  /// Throws Error.
  StagingFolder();
  ~StagingFolder();
  StagingFolder(const StagingFolder&) = delete;
  StagingFolder& operator=(const StagingFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int lock_ = -1;
};

/// Copies a model in the background. The copy exists as long as this object.
class Staging {
 public:
  /// Waits a short time for a running copy; one that hangs is abandoned.
  ~Staging();
  /// Starts to copy a model file or bundle folder. `stall_s`: time limit without progress; 0: none.
  void begin(const std::string& path, double stall_s);
  /// The answer, returned once: the copy is complete, has failed or has stalled (then with the error).
  std::optional<wire::Staged> poll();

 private:
  struct Copy {
    std::unique_ptr<StagingFolder> folder;
    wire::Staged answer;
  };
  std::shared_ptr<Copy> copy_;
  std::unique_ptr<SideThread> thread_;
  bool answered_ = false;
  double stall_s_ = 0;
};

} // namespace mgpu::agent
