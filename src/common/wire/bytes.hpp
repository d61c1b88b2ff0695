#pragma once
// A small binary encoder and bounds-checked decoder. Both sides run the same build on the same architecture, so
// numbers are sent in native layout.
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "mgpu/error.hpp"

namespace mgpu::wire {

using Buffer = std::vector<std::byte>;
using View = std::span<const std::byte>;

template <typename T>
concept Plain = std::is_arithmetic_v<T> || std::is_enum_v<T>;

/// Malformed bytes. They are a failure of the sender, not of the run.
class Malformed : public Error {
 public:
  using Error::Error;
};

/// Appends values to a buffer.
class Encoder {
 public:
  explicit Encoder(Buffer& out) : out_(out) {}

  template <Plain T>
  Encoder& put(T value) {
    append(&value, sizeof value);
    return *this;
  }
  Encoder& put(std::string_view text) {
    put(static_cast<std::uint64_t>(text.size()));
    append(text.data(), text.size());
    return *this;
  }
  template <Plain T>
  Encoder& put(std::span<const T> values) {
    put(static_cast<std::uint64_t>(values.size()));
    append(values.data(), values.size_bytes());
    return *this;
  }
  /// Zero bytes up to a multiple of `alignment` from the start of the buffer.
  Encoder& align(std::size_t alignment) {
    out_.resize((out_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }

 private:
  void append(const void* data, std::size_t size) {
    const auto* bytes = static_cast<const std::byte*>(data);
    out_.insert(out_.end(), bytes, bytes + size);
  }
  Buffer& out_;
};

/// Reads values from a view; throws Malformed when the view is too short (a torn or foreign message).
class Decoder {
 public:
  explicit Decoder(View in) : in_(in) {}

  template <Plain T>
  T get() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  /// Valid while the view is.
  std::string_view text() {
    const View bytes = take(get<std::uint64_t>());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  template <Plain T>
  std::vector<T> values() {
    const auto count = get<std::uint64_t>();
    if (count > in_.size() / sizeof(T)) throw Malformed("wire: a list is longer than its message");
    const View bytes = take(count * sizeof(T));
    std::vector<T> out(count);
    if (count > 0) std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  }
  View take(std::uint64_t size) {
    if (size > in_.size() - at_) throw Malformed("wire: a message ends early");
    const View out = in_.subspan(at_, size);
    at_ += size;
    return out;
  }
  void align(std::size_t alignment) {
    const std::size_t next = (at_ + alignment - 1) / alignment * alignment;
    take(next - at_);
  }
  /// A count of elements of at least `least_bytes` each: refused when the message is too short for them.
  std::uint64_t count(std::size_t least_bytes) {
    const auto number = get<std::uint64_t>();
    if (number > rest() / least_bytes) throw Malformed("wire: a count is larger than its message");
    return number;
  }
  std::size_t rest() const { return in_.size() - at_; }

 private:
  View in_;
  std::size_t at_ = 0;
};

} // namespace mgpu::wire
