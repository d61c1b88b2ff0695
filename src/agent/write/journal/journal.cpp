#include "agent/write/journal/journal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <random>

#include "agent/manifest/text.hpp"
#include "common/support/crc32c.hpp"

namespace mgpu::agent::write {

namespace {

constexpr std::size_t buffer_bytes = 1u << 20;
constexpr std::size_t search_bytes = 64u << 10;

std::size_t padded(std::size_t size) {
  return (size + wire::block_alignment - 1) / wire::block_alignment * wire::block_alignment;
}

std::uint32_t crc_of(JournalFrameHeader header) {
  header.header_crc = 0;
  return crc32c(std::as_bytes(std::span(&header, 1)));
}

std::uint64_t some_number() {
  std::random_device device;
  const std::uint64_t high = device(), low = device();
  return std::max<std::uint64_t>(high << 32 | low, 1);
}

} // namespace

void Frame::Free::operator()(std::byte* bytes) const {
  std::free(bytes);
}

void Frame::make_room(std::size_t size) {
  if (size <= capacity_) return;
  bytes_.reset(static_cast<std::byte*>(std::aligned_alloc(wire::block_alignment, padded(size))));
  if (!bytes_) throw std::bad_alloc();
  capacity_ = padded(size);
}

Journal::Journal(const std::string& path, RawFile::Mode mode)
    : file_(path, mode), number_(mode == RawFile::Mode::create ? some_number() : 0), end_(file_.size()) {}

std::string Journal::name() const {
  return fmt::format("{:016x}", number_);
}

std::byte* Journal::grow(std::size_t size) {
  if (buffer_.size() + size > buffer_bytes) flush();
  const std::size_t at = buffer_.size();
  buffer_.resize(at + size);
  end_ += size;
  return buffer_.data() + at;
}

void Journal::put_header(std::byte* at, JournalFrameHeader header, wire::View payload) {
  header.payload_bytes = payload.size();
  header.payload_crc = crc32c(payload);
  header.journal = number_;
  header.durable = durable_;
  header.header_crc = crc_of(header);
  std::memcpy(at, &header, sizeof header);
}

std::uint64_t Journal::append(FrameKind kind, wire::View payload) {
  JournalFrameHeader header;
  header.at = end_;
  header.kind = kind;
  std::byte* out = grow(sizeof header + padded(payload.size()));
  put_header(out, header, payload);
  if (!payload.empty()) std::memcpy(out + sizeof header, payload.data(), payload.size());
  return header.at;
}

void Journal::append_twice(FrameKind kind, wire::View payload) {
  append(kind, payload);
  append(kind, payload);
}

std::uint64_t Journal::append(const wire::BatchResult& result, std::int32_t rank) {
  JournalFrameHeader header;
  header.at = end_;
  header.rank = rank;
  const std::size_t size = wire::encoded_size(result);
  std::byte* out = grow(sizeof header + size);
  wire::encode(result, out + sizeof header);
  put_header(out, header, {out + sizeof header, size});
  return header.at;
}

void Journal::flush() {
  if (buffer_.empty()) return;
  if (rows_first_) rows_first_();
  file_.write_at(end_ - buffer_.size(), wire::View(buffer_));
  buffer_.clear();
}

void Journal::commit() {
  flush();
  try {
    file_.sync_data();
  } catch (const Error&) {
    drop_uncommitted();
    throw;
  }
  committed_ = end_;
}

void Journal::drop_uncommitted() noexcept {
  buffer_.clear();
  end_ = committed_;
  try {
    file_.resize(committed_);
  } catch (const Error&) { // nothing more can be done; the frames' checksums remain
  }
}

bool Journal::read_header(std::uint64_t at, JournalFrameHeader& header) const {
  if (at > end_ || end_ - at < sizeof header) return false;
  file_.read_at(at, reinterpret_cast<std::byte*>(&header), sizeof header);
  return header.magic == JournalFrameHeader::magic_value && header.header_crc == crc_of(header) && header.at == at &&
         (number_ == 0 || header.journal == number_) && header.payload_bytes <= end_ - at - sizeof header;
}

bool Journal::read_payload(const JournalFrameHeader& header, Frame& frame) const {
  frame.make_room(header.payload_bytes);
  frame.header_ = header;
  file_.read_at(header.at + sizeof header, frame.bytes_.get(), header.payload_bytes);
  return crc32c(frame.payload()) == header.payload_crc;
}

void Journal::read(std::uint64_t offset, Frame& frame) const {
  JournalFrameHeader header;
  if (!read_header(offset, header))
    throw Error(fmt::format("{}: a torn frame at byte {}", manifest::shown(file_.path()), offset));
  if (!read_payload(header, frame))
    throw Error(fmt::format("{}: damaged bytes in the frame at byte {}", manifest::shown(file_.path()), offset));
}

/// Offset of the next possible frame; end_ if there is none.
std::uint64_t Journal::next_magic(std::uint64_t at) const {
  wire::Buffer block(search_bytes);
  for (at = padded(at); at < end_; at += block.size()) {
    block.resize(std::min<std::uint64_t>(search_bytes, end_ - at));
    file_.read_at(at, block.data(), block.size());
    for (std::size_t place = 0; place + sizeof(JournalFrameHeader::magic) <= block.size(); place += wire::block_alignment) {
      std::uint64_t magic;
      std::memcpy(&magic, block.data() + place, sizeof magic);
      if (magic == JournalFrameHeader::magic_value) return at + place;
    }
  }
  return end_;
}

bool Journal::find(std::uint64_t& at, Frame& frame) {
  while (at < end_) {
    JournalFrameHeader header;
    if (!read_header(at, header)) {
      const std::uint64_t next = next_magic(at + 1);
      damaged_bytes_ += next - at;
      at = next;
      continue;
    }
    const bool whole = read_payload(header, frame);
    const std::uint64_t next = std::min(at + sizeof header + padded(header.payload_bytes), end_);
    if (!whole) damaged_bytes_ += next - at;
    at = next;
    if (!whole) continue;
    number_ = header.journal;
    committed_ = std::max(committed_, std::min(header.durable, end_));
    return true;
  }
  return false;
}

void Journal::cut(std::uint64_t end) {
  end_ = padded(end);
  committed_ = std::min(committed_, end_); // a killed run may not have brought the rest to the disk
  file_.resize(end_);
  buffer_.clear();
}

} // namespace mgpu::agent::write
