#pragma once
// A model read once a node: its leader copies it into the node's memory (/dev/shm), from where every worker of the node opens it.
#include <memory>
#include <optional>
#include <string>

#include "common/support/side_thread.hpp"
#include "common/wire/control_messages.hpp"

namespace mgpu::agent {

/// True when `path` lies on a file system of this machine, whose page cache all ranks of the node share anyway.
bool on_local_disk(const std::string& path);

/// Folders of this user that dead agents left in the node's memory are removed.
void sweep_staged();

/// A folder in the node's memory that only this user can enter, with a name that nobody can know before. It is removed with the object; if
/// the process is killed, by the next sweep on this node, which sees by its lock that nobody owns it any more.
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

/// Copies a model beside an agent's other work. The copy stays as long as this object.
class Staging {
 public:
  /// A copy under way is waited for a little; one that hangs is left behind.
  ~Staging();
  /// Begins to copy a model file or bundle folder. `stall_s`: it may stand still so long, neither reading nor writing; 0: for ever.
  void begin(const std::string& path, double stall_s);
  /// Once, when the copy is made, has failed or stands still: the error is in the answer.
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
