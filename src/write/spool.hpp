#pragma once
// PATH.spool: what cannot go to its final place before the end (ragged and text rows, reasons of failures), appended in order
// of arrival. A file of frames: a 64-byte FrameHeader, then its payload, padded with zeros to a multiple of 64.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "wire/batch_result.hpp"
#include "write/raw_file.hpp"

namespace mgpu::write {

enum class FrameKind : std::uint32_t {
  columns = 1, ///< wire::Opened with the output columns
  batch = 2,   ///< wire::BatchResult without its fixed columns
};

struct FrameHeader {
  static constexpr std::uint64_t magic_value = 0x31656d6172667067ULL; // "gpframe1"
  std::uint64_t magic = magic_value;
  std::uint64_t payload_bytes = 0;
  std::uint32_t payload_crc = 0; ///< CRC-32C
  FrameKind kind = FrameKind::batch;
  std::int32_t rank = -1;       ///< who did the batch
  std::uint32_t header_crc = 0; ///< CRC-32C of the header with this field 0
  std::uint64_t reserved[4] = {};
};
static_assert(sizeof(FrameHeader) == wire::block_alignment);

/// A frame's payload, aligned as wire::decode_batch_result wants it.
class Frame {
 public:
  wire::View payload() const { return {bytes_.get(), size_}; }
  FrameKind kind() const { return kind_; }
  std::int32_t rank() const { return rank_; }

 private:
  friend class Spool;
  struct Free {
    void operator()(std::byte* bytes) const;
  };
  void make_room(std::size_t size);
  std::unique_ptr<std::byte[], Free> bytes_;
  std::size_t size_ = 0, capacity_ = 0;
  FrameKind kind_ = FrameKind::batch;
  std::int32_t rank_ = -1;
};

class Spool {
 public:
  /// Mode::create for a new one; Mode::read to read one.
  Spool(const std::string& path, RawFile::Mode mode) : file_(path, mode), end_(file_.size()) {}

  /// Appends a frame; returns where it begins.
  std::uint64_t append(FrameKind kind, std::int32_t rank, wire::View payload);
  std::uint64_t append(const wire::BatchResult& result, std::int32_t rank);
  /// Hands everything to the operating system; commit() also to the disk.
  void flush();
  void commit();

  /// Reads the frame at `offset`; returns where the next one begins. Throws Error when it is torn.
  std::uint64_t read(std::uint64_t offset, Frame& frame) const;
  std::uint64_t end() const { return end_; }
  RawFile& file() { return file_; }

 private:
  std::byte* grow(std::size_t size);
  void put_header(std::byte* at, FrameKind kind, std::int32_t rank, wire::View payload);

  RawFile file_;
  std::uint64_t end_;   ///< of everything appended
  wire::Buffer buffer_; ///< the last bytes before end_, not yet written
};

} // namespace mgpu::write
