#pragma once
#include <string>

namespace mgpu {

/// A new folder below $TMPDIR (or /tmp), removed with all it holds when this object goes, and with the folders that
/// note_folder_elsewhere() has noted in it. The next such object on this host removes what a process left that was killed.
class TemporaryFolder {
 public:
  /// `name`: how the folder's name begins. Throws Error when it cannot be made.
  explicit TemporaryFolder(const std::string& name);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  /// Removes it now. Other links in it are removed, not followed.
  void remove() noexcept;

 private:
  std::string path_; ///< "" once removed
  int lock_ = -1;    ///< the folder, open and locked as long as this process lives
};

/// Notes in $TMPDIR, the temporary folder of this process, that `folder` belongs to it though it lies elsewhere. Does nothing when it
/// lies there anyway.
void note_folder_elsewhere(const std::string& folder) noexcept;

} // namespace mgpu
