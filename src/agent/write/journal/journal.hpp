#pragma once
// PATH.journal: the authoritative record of a run, appended in order of arrival: the identity of the run, its columns, and of
// every batch all but the rows of fixed columns. A sequence of frames: a 64-byte JournalFrameHeader, then its payload, padded
// with zeros to a multiple of 64.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/write/hdf5/raw_file.hpp"
#include "common/wire/batch_result.hpp"

namespace mgpu::agent::write {

enum class FrameKind : std::uint32_t {
  head = 1,  ///< the first two frames: JSON with the run's identity
  columns,   ///< the output columns, which are already in the result file
  batch,     ///< wire::BatchResult without its fixed columns, but with the CRCs of whole rows
  resumed,   ///< a later run continues from here
  model,     ///< the model's SHA-256, which is known later
  undo,      ///< old bytes of the result file before a change by HDF5: u64 offset, bytes
  changing,  ///< the result file may be half changed from now on: u64 old size
  settled,   ///< the change is complete
  forgotten, ///< earlier frames of these rows are invalid: u64 first, u64 rows
};

struct JournalFrameHeader {
  static constexpr std::uint64_t magic_value = 0x3365'6d61'7266'7067ULL; // "gpframe3"
  std::uint64_t magic = magic_value;
  std::uint64_t payload_bytes = 0;
  std::uint64_t journal = 0; ///< number of the journal, so that bytes of another file are never taken for a frame
  std::uint64_t at = 0;      ///< offset of the frame
  std::uint64_t durable =
      0; ///< rows of fixed columns of all frames before this offset were on the disk when the frame was written
  std::uint32_t payload_crc = 0; ///< CRC-32C
  FrameKind kind = FrameKind::batch;
  std::int32_t rank = -1; ///< rank of the batch
  std::uint32_t reserved[2] = {};
  std::uint32_t header_crc = 0; ///< CRC-32C of the header with this field 0
};
static_assert(sizeof(JournalFrameHeader) == wire::block_alignment);

/// A frame with its payload, aligned for wire::decode_batch_result.
class Frame {
 public:
  wire::View payload() const { return {bytes_.get(), header_.payload_bytes}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(bytes_.get()), header_.payload_bytes}; }
  const JournalFrameHeader& header() const { return header_; }
  FrameKind kind() const { return header_.kind; }
  std::int32_t rank() const { return header_.rank; }

 private:
  friend class Journal;
  struct Free {
    void operator()(std::byte* bytes) const;
  };
  void make_room(std::size_t size);
  std::unique_ptr<std::byte[], Free> bytes_;
  std::size_t capacity_ = 0;
  JournalFrameHeader header_;
};

class Journal {
 public:
  static std::string path_of(const std::string& output) { return output + ".journal"; }

  /// Mode::create: a new journal with a number of its own. Else an existing one: append only after find() has read all of it.
  Journal(const std::string& path, RawFile::Mode mode);

  /// Appends a frame; returns its offset.
  std::uint64_t append(FrameKind kind, wire::View payload);
  /// As append, twice: the other frames are useless without this one.
  void append_twice(FrameKind kind, wire::View payload);
  std::uint64_t append(const wire::BatchResult& result, std::int32_t rank);
  /// The rows of all frames so far are on the disk: later frames record that.
  void mark_durable() { durable_ = end_; }
  /// `rows_first` is called before frames are written to the file, to write their rows first.
  void before_writing(std::function<void()> rows_first) { rows_first_ = std::move(rows_first); }
  /// flush() writes everything to the file; commit() also brings it to the disk.
  void flush();
  void commit();
  /// After a disk error: drops everything since the last commit. The system may still show bytes that never reached the disk, and
  /// a later sync would not report them again; a resumed run must not rely on them.
  void drop_uncommitted() noexcept;

  /// Reads the frame at `offset`; throws Error when it is torn.
  void read(std::uint64_t offset, Frame& frame) const;
  /// Finds the first intact frame at or after `at`, reads it and moves `at` behind it; false if there is none. Damaged bytes are
  /// skipped and counted.
  bool find(std::uint64_t& at, Frame& frame);
  std::uint64_t damaged_bytes() const { return damaged_bytes_; }
  /// Truncates the journal to `end`.
  void cut(std::uint64_t end);

  std::uint64_t number() const { return number_; }
  /// The number as in the result file's attribute `run`.
  std::string name() const;
  std::uint64_t end() const { return end_; }
  RawFile& file() { return file_; }

 private:
  bool read_header(std::uint64_t at, JournalFrameHeader& header) const;
  bool read_payload(const JournalFrameHeader& header, Frame& frame) const;
  std::uint64_t next_magic(std::uint64_t at) const;
  std::byte* grow(std::size_t size);
  void put_header(std::byte* at, JournalFrameHeader header, wire::View payload);

  RawFile file_;
  std::uint64_t number_ = 0;    ///< 0: unknown until the first frame was found
  std::uint64_t end_;           ///< end of everything appended
  std::uint64_t committed_ = 0; ///< end of the part on the disk
  std::uint64_t durable_ = 0, damaged_bytes_ = 0;
  std::function<void()> rows_first_;
  wire::Buffer buffer_; ///< the last bytes before end_, not yet written
};

} // namespace mgpu::agent::write
