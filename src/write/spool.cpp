#include "write/spool.hpp"

#include <cstdlib>
#include <new>

#include "support/crc32c.hpp"

namespace mgpu::write {

namespace {

constexpr std::size_t buffer_bytes = 1u << 20;

std::size_t padded(std::size_t size) {
  return (size + wire::block_alignment - 1) / wire::block_alignment * wire::block_alignment;
}

std::uint32_t crc_of(FrameHeader header) {
  header.header_crc = 0;
  return crc32c(std::as_bytes(std::span(&header, 1)));
}

} // namespace

void Frame::Free::operator()(std::byte* bytes) const {
  std::free(bytes);
}

void Frame::make_room(std::size_t size) {
  if (size > capacity_) {
    bytes_.reset(static_cast<std::byte*>(std::aligned_alloc(wire::block_alignment, padded(size))));
    if (!bytes_) throw std::bad_alloc();
    capacity_ = padded(size);
  }
  size_ = size;
}

std::byte* Spool::grow(std::size_t size) {
  if (buffer_.size() + size > buffer_bytes) flush();
  const std::size_t at = buffer_.size();
  buffer_.resize(at + size);
  end_ += size;
  return buffer_.data() + at;
}

void Spool::put_header(std::byte* at, FrameKind kind, std::int32_t rank, wire::View payload) {
  FrameHeader header;
  header.payload_bytes = payload.size();
  header.payload_crc = crc32c(payload);
  header.kind = kind;
  header.rank = rank;
  header.header_crc = crc_of(header);
  std::memcpy(at, &header, sizeof header);
}

std::uint64_t Spool::append(FrameKind kind, std::int32_t rank, wire::View payload) {
  const std::uint64_t begin = end_;
  std::byte* out = grow(sizeof(FrameHeader) + padded(payload.size()));
  put_header(out, kind, rank, payload);
  if (!payload.empty()) std::memcpy(out + sizeof(FrameHeader), payload.data(), payload.size());
  return begin;
}

std::uint64_t Spool::append(const wire::BatchResult& result, std::int32_t rank) {
  const std::uint64_t begin = end_;
  const std::size_t size = wire::encoded_size(result);
  std::byte* out = grow(sizeof(FrameHeader) + size);
  wire::encode(result, out + sizeof(FrameHeader));
  put_header(out, FrameKind::batch, rank, {out + sizeof(FrameHeader), size});
  return begin;
}

void Spool::flush() {
  if (buffer_.empty()) return;
  file_.write_at(end_ - buffer_.size(), wire::View(buffer_));
  buffer_.clear();
}

void Spool::commit() {
  flush();
  file_.sync_data();
}

std::uint64_t Spool::read(std::uint64_t offset, Frame& frame) const {
  FrameHeader header;
  file_.read_at(offset, reinterpret_cast<std::byte*>(&header), sizeof header);
  if (header.magic != FrameHeader::magic_value || header.header_crc != crc_of(header) ||
      header.payload_bytes > end_ - offset - sizeof header)
    throw Error(file_.path() + ": a torn frame at byte " + std::to_string(offset));
  frame.make_room(header.payload_bytes);
  frame.kind_ = header.kind;
  frame.rank_ = header.rank;
  file_.read_at(offset + sizeof header, frame.bytes_.get(), header.payload_bytes);
  if (crc32c(frame.payload()) != header.payload_crc)
    throw Error(file_.path() + ": damaged bytes in the frame at byte " + std::to_string(offset));
  return offset + sizeof header + padded(header.payload_bytes);
}

} // namespace mgpu::write
