#pragma once
// Encoding and decoding of messages: one list of fields serves both, so that they cannot differ. For *_messages.cpp only.
#include <concepts>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/wire/message.hpp"
#include "mgpu/columns.hpp"
#include "mgpu/item.hpp"

namespace mgpu::wire {

/// M is T or const T: fields(M&) gives references for reading or for writing.
template <typename M, typename T>
concept Is = std::same_as<std::remove_const_t<M>, T>;

auto fields(Is<ColumnSpec> auto& m) {
  return std::tie(m.name, m.type, m.layout, m.row_shape);
}
auto fields(Is<Item> auto& m) {
  return std::tie(m.index, m.path, m.shipped, m.content, m.columns);
}
auto fields(Is<std::pair<std::string, std::string>> auto& m) {
  return std::tie(m.first, m.second);
}

template <typename T>
concept Struct = requires(T& value) {
  fields(value);
};

// Every struct in a list begins with a string, a list or a 64-bit number.
constexpr std::size_t least_element_bytes = 8;

inline void put(Encoder& out, const std::string& text) {
  out.put(std::string_view(text));
}
inline void put(Encoder& out, bool value) {
  out.put(static_cast<std::uint8_t>(value));
}
template <Plain T>
inline void put(Encoder& out, T value) {
  out.put(value);
}
template <Struct T>
inline void put(Encoder& out, const T& value);
template <typename T>
inline void put(Encoder& out, const std::vector<T>& list) {
  if constexpr (Plain<T>) {
    out.put(std::span<const T>(list));
  } else {
    out.put(static_cast<std::uint64_t>(list.size()));
    for (const T& element : list) put(out, element);
  }
}
template <Struct T>
inline void put(Encoder& out, const T& value) {
  std::apply([&](const auto&... field) { (put(out, field), ...); }, fields(value));
}

inline void take(Decoder& in, std::string& text) {
  text = in.text();
}
inline void take(Decoder& in, bool& value) {
  value = in.get<std::uint8_t>() != 0;
}
template <Plain T>
inline void take(Decoder& in, T& value) {
  value = in.get<T>();
}
inline void take(Decoder& in, DType& value) {
  value = in.get<DType>();
  if (value > DType::boolean) throw Malformed("wire: a column of an unknown type");
}
inline void take(Decoder& in, Layout& value) {
  value = in.get<Layout>();
  if (value > Layout::text) throw Malformed("wire: a column of an unknown layout");
}
template <Struct T>
inline void take(Decoder& in, T& value);
template <typename T>
inline void take(Decoder& in, std::vector<T>& list) {
  if constexpr (Plain<T>) {
    list = in.values<T>();
  } else {
    list.resize(in.count(least_element_bytes));
    for (T& element : list) take(in, element);
  }
}
template <Struct T>
inline void take(Decoder& in, T& value) {
  std::apply([&](auto&... field) { (take(in, field), ...); }, fields(value));
}

template <typename Message>
void encode(const Message& message, Buffer& out) {
  Encoder encoder(out);
  put(encoder, message);
}

template <typename Message>
Message decode(View bytes) {
  Decoder in(bytes);
  Message message;
  take(in, message);
  if (in.rest() != 0) throw Malformed("wire: a message has bytes left over");
  return message;
}

} // namespace mgpu::wire

/// Instantiates encode and decode of a message, after its fields().
#define MGPU_WIRE_MESSAGE(Message)               \
  template void encode(const Message&, Buffer&); \
  template Message decode<Message>(View);
