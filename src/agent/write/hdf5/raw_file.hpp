#pragma once
// Byte access to a file: every return code is checked, full disks are recognised, small adjacent writes are merged.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/wire/bytes.hpp"

namespace mgpu::agent::write {

/// The error for a failed call on `path`. A full disk, quota or file size limit gives ExitCode::stopped and names the needed
/// space; a failing disk or file server (EIO, ESTALE) gives ExitCode::stopped, too. `then`: what to do when it works again.
Error file_error(const std::string& path, const char* call, int error_number, std::uint64_t needed_bytes,
                 std::string_view then = "continue with --resume");

/// "1.5 GB".
std::string shown_bytes(std::uint64_t bytes);

/// True if anything is at `path`, a dangling link, too.
bool is_there(const std::string& path);

/// fsync of the folder of `path`, so that a new or renamed name is on the disk.
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
  /// Brings data to the disk (fdatasync), if anything was written since the last call.
  void sync_data();
  /// Brings everything to the disk (fsync).
  void sync_all();
  void resize(std::uint64_t size);
  std::uint64_t size() const;
  /// First offset at or after `offset` that is not in a hole, and first that is; the end of the file if there is none.
  std::uint64_t next_data(std::uint64_t offset) const;
  std::uint64_t next_hole(std::uint64_t offset) const;
  /// Whether the file at `path` is this one, and not another that has taken its name.
  bool is_at(const std::string& path) const;
  /// Locks the file for this process; false if another process has it. Held as long as the object. True on a file system without
  /// such locks: there OutputLock protects the output.
  bool lock();
  /// Bytes still to be written, for the message about a full disk.
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

/// Collects small writes, in any order, and writes them sorted and merged. Of overlapping writes the last one counts.
class RowStage {
 public:
  static constexpr std::size_t stage_bytes = 1u << 20;    ///< maximum of copied bytes: they stay in a core's cache
  static constexpr std::size_t direct_bytes = 256u << 10; ///< writes of at least this size are not held
  static constexpr std::size_t most_pieces = 4096;        ///< maximum of held pieces
  static constexpr std::size_t owned_bytes = 8u << 20;    ///< maximum of bytes held by owners

  explicit RowStage(RawFile& file) : file_(file) {}
  /// With an `owner`, which keeps `bytes` valid, they are not copied; else they are only read during the call.
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
  wire::Buffer arena_; ///< never reallocated: pieces point into it
  std::vector<Piece> pieces_;
  std::vector<std::shared_ptr<void>> owners_;
  std::size_t owned_ = 0;
};

} // namespace mgpu::agent::write
