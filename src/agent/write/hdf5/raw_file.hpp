#pragma once
// Plain bytes into a file: every return checked, full disks told apart, small neighbours merged.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/wire/bytes.hpp"

namespace mgpu::agent::write {

/// The error for a failed call on `path`. A full disk, quota or file size limit gives ExitCode::stopped and says how much room
/// is needed; a disk or file server that fails (EIO, ESTALE) gives ExitCode::stopped, too. `then`: what to do when that is mended.
Error file_error(const std::string& path, const char* call, int error_number, std::uint64_t needed_bytes,
                 std::string_view then = "continue with --resume");

/// "1.5 GB".
std::string shown_bytes(std::uint64_t bytes);

/// Anything is at `path`, a dangling link too.
bool is_there(const std::string& path);

/// fsync of the folder that holds `path`, so that a new or renamed name is on the disk.
void sync_folder_of(const std::string& path);

/// One open file; symbolic links are never followed.
class RawFile {
 public:
  enum class Mode : std::uint8_t {
    create, ///< must not exist
    modify, ///< must exist
    read,   ///< must exist
  };
  RawFile(const std::string& path, Mode mode);
  ~RawFile();
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;

  void write_at(std::uint64_t offset, wire::View bytes);
  /// Writes `pieces` one after another from `offset` on.
  void write_at(std::uint64_t offset, std::vector<wire::View> pieces);
  /// Reads exactly `size` bytes; throws Error when there are fewer.
  void read_at(std::uint64_t offset, std::byte* out, std::size_t size) const;
  /// Data on the disk (fdatasync), if anything was written since the last time.
  void sync_data();
  /// Everything on the disk (fsync).
  void sync_all();
  void resize(std::uint64_t size);
  std::uint64_t size() const;
  /// First place at or after `offset` that is not in a hole, and that is; the end where there is none.
  std::uint64_t next_data(std::uint64_t offset) const;
  std::uint64_t next_hole(std::uint64_t offset) const;
  /// Whether the file at `path` is this one, not one that took its name.
  bool is_at(const std::string& path) const;
  /// Takes the file for this process; false if another has it. Ends with the object. Where the file system has no such locks it is true:
  /// who may write an output says its OutputLock.
  bool lock();
  /// What a full disk's message says is still to be written.
  void set_needed_bytes(std::uint64_t bytes) { needed_bytes_ = bytes; }
  /// What messages say to do when the disk is well again; the text must outlive this.
  void set_advice(std::string_view then) { then_ = then; }
  std::string_view advice() const { return then_; }
  std::uint64_t needed_bytes() const { return needed_bytes_; }
  const std::string& path() const { return path_; }

 private:
  [[noreturn]] void fail(const char* call, int error_number) const;
  [[noreturn]] void fail_write(const char* call, int error_number, std::uint64_t left_bytes) const;
  std::string path_;
  int fd_;
  bool dirty_ = false;
  std::uint64_t needed_bytes_ = 0;
  std::string_view then_ = "continue with --resume";
};

/// Collects small writes, in any order, and hands them to the file sorted and merged. What is written twice ends as it was
/// written last.
class RowStage {
 public:
  static constexpr std::size_t stage_bytes = 1u << 20;    ///< copied bytes held at most: they stay in a core's cache
  static constexpr std::size_t direct_bytes = 256u << 10; ///< writes from this size on are not held
  static constexpr std::size_t most_pieces = 4096;        ///< held at most
  static constexpr std::size_t owned_bytes = 8u << 20;    ///< bytes of others held at most

  explicit RowStage(RawFile& file) : file_(file) {}
  /// With an `owner`, who keeps `bytes` alive, they are not copied; else they are only read during the call.
  void write_at(std::uint64_t offset, wire::View bytes, const std::shared_ptr<void>& owner = nullptr);
  void flush();

 private:
  struct Piece {
    std::uint64_t offset = 0;
    wire::View bytes;
    std::uint64_t end() const { return offset + bytes.size(); }
  };
  bool sort_pieces();

  RawFile& file_;
  wire::Buffer arena_; ///< never grows beyond what was reserved: pieces point into it
  std::vector<Piece> pieces_;
  std::vector<std::shared_ptr<void>> owners_;
  std::size_t owned_ = 0;
};

} // namespace mgpu::agent::write
