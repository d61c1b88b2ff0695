#pragma once
// PATH.journal: the truth about a run, appended in order of arrival: what run it is, its columns, and of every batch all but the rows
// of its fixed columns. A file of frames: a 64-byte JournalFrameHeader, then its payload, padded with zeros to a multiple of 64.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/write/hdf5/raw_file.hpp"
#include "common/wire/batch_result.hpp"

namespace mgpu::agent::write {

enum class FrameKind : std::uint32_t {
  head = 1,  ///< the first two: JSON with the run's identity
  columns,   ///< the output columns, which are in the result file now
  batch,     ///< wire::BatchResult without its fixed columns, but with the CRCs of whole rows
  resumed,   ///< a later run goes on from here
  model,     ///< the model's SHA-256, known a little later than the rest
  undo,      ///< bytes of the result file as they were before HDF5 changes it: u64 offset, bytes
  changing,  ///< from here on the result file may be half changed: u64 size it had before
  settled,   ///< it is whole again
  forgotten, ///< what was said of these rows before does not hold: u64 first, u64 rows
};

struct JournalFrameHeader {
  static constexpr std::uint64_t magic_value = 0x3365'6d61'7266'7067ULL; // "gpframe3"
  std::uint64_t magic = magic_value;
  std::uint64_t payload_bytes = 0;
  std::uint64_t journal = 0; ///< which journal it belongs to, so that bytes of another file are never taken for a frame
  std::uint64_t at = 0;      ///< where it lies
  std::uint64_t durable =
      0; ///< rows of fixed columns that frames before this place speak of were on the disk when it was written
  std::uint32_t payload_crc = 0; ///< CRC-32C
  FrameKind kind = FrameKind::batch;
  std::int32_t rank = -1; ///< who did the batch
  std::uint32_t reserved[2] = {};
  std::uint32_t header_crc = 0; ///< CRC-32C of the header with this field 0
};
static_assert(sizeof(JournalFrameHeader) == wire::block_alignment);

/// A frame's payload, aligned as wire::decode_batch_result wants it.
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

  /// Mode::create for a new one, which gets a number of its own; else one that is there: append only after find() has seen all of it.
  Journal(const std::string& path, RawFile::Mode mode);

  /// Appends a frame; returns where it begins.
  std::uint64_t append(FrameKind kind, wire::View payload);
  /// As append, twice: without these frames the others are worth nothing.
  void append_twice(FrameKind kind, wire::View payload);
  std::uint64_t append(const wire::BatchResult& result, std::int32_t rank);
  /// Whatever frames speak of so far is on the disk: later frames say so.
  void mark_durable() { durable_ = end_; }
  /// `rows_first` is called before any frame leaves this process, to hand over the rows that the frames speak of.
  void before_writing(std::function<void()> rows_first) { rows_first_ = std::move(rows_first); }
  /// Hands everything to the operating system; commit() also to the disk.
  void flush();
  void commit();
  /// After a disk's error: drops what was appended since the last commit. The system may still show bytes that never reached the disk, and
  /// a later sync would not complain of them again; a run that goes on must not believe them.
  void drop_uncommitted() noexcept;

  /// Reads the frame at `offset`; throws Error when it is torn.
  void read(std::uint64_t offset, Frame& frame) const;
  /// Finds the first whole frame at or after `at`, reads it and moves `at` behind it; false: there is none. What is damaged is passed
  /// over and counted.
  bool find(std::uint64_t& at, Frame& frame);
  std::uint64_t damaged_bytes() const { return damaged_bytes_; }
  /// Forgets everything from `end` on, on the disk too.
  void cut(std::uint64_t end);

  std::uint64_t number() const { return number_; }
  /// The number as the result file's attribute `run` has it.
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
  std::uint64_t number_ = 0;    ///< 0: not known before the first frame was found
  std::uint64_t end_;           ///< of everything appended
  std::uint64_t committed_ = 0; ///< end of what is on the disk
  std::uint64_t durable_ = 0, damaged_bytes_ = 0;
  std::function<void()> rows_first_;
  wire::Buffer buffer_; ///< the last bytes before end_, not yet written
};

} // namespace mgpu::agent::write
