#pragma once
#include <string>

namespace mgpu {

/// A new folder below $TMPDIR (or /tmp). The destructor removes it with its contents, and with the folders that
/// note_folder_elsewhere() recorded in it. The next such object on this host removes the folders of killed processes.
class TemporaryFolder {
 public:
  /// `name`: prefix of the folder's name. Throws Error when it cannot be made.
  explicit TemporaryFolder(const std::string& name);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  /// Removes it now. Other links in it are removed but not followed.
  void remove() noexcept;

 private:
  std::string path_; ///< "" once removed
  int lock_ = -1;    ///< the folder, open and locked while this process runs
};

/// Records in $TMPDIR, the temporary folder of this process, that `folder` belongs to it although it is elsewhere. Does nothing
/// for a folder in $TMPDIR.
void note_folder_elsewhere(const std::string& folder) noexcept;

} // namespace mgpu
