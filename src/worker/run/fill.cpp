#include "worker/run/fill.hpp"

#include <cstring>
#include <limits>

#include "mgpu/error.hpp"

namespace mgpu::worker {

namespace {

bool is_ok(std::uint8_t status) {
  return status == static_cast<std::uint8_t>(Status::ok);
}

/// A float is infinite or NaN if and only if all bits of its exponent are set. Integer tests vectorise, isfinite does not.
template <typename Bits>
bool finite_bits(const std::byte* values, std::size_t count, Bits exponent) {
  Bits bad = 0;
  for (std::size_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, values + i * sizeof bits, sizeof bits);
    bad |= static_cast<Bits>((bits & exponent) == exponent);
  }
  return bad == 0;
}

void blank(DType type, std::byte* out, std::size_t bytes) {
  const auto repeat = [&](const auto value) {
    for (std::size_t at = 0; at < bytes; at += sizeof value) std::memcpy(out + at, &value, sizeof value);
  };
  switch (type) {
    case DType::float16:
      return repeat(std::uint16_t{0x7E00});
    case DType::float32:
      return repeat(std::numeric_limits<float>::quiet_NaN());
    case DType::float64:
      return repeat(std::numeric_limits<double>::quiet_NaN());
    default:
      std::memset(out, 0, bytes);
  }
}

} // namespace

bool all_finite(DType type, const std::byte* values, std::size_t count) {
  switch (type) {
    case DType::float16:
      return finite_bits<std::uint16_t>(values, count, 0x7C00);
    case DType::float32:
      return finite_bits<std::uint32_t>(values, count, 0x7F800000);
    case DType::float64:
      return finite_bits<std::uint64_t>(values, count, 0x7FF0000000000000);
    default:
      return true;
  }
}

void flag_rows(const ColumnSpec& column, std::size_t index, const std::vector<Piece>& pieces,
               std::span<const std::uint8_t> status, std::span<std::uint8_t> flags) {
  const bool floating = column.type == DType::float16 || column.type == DType::float32 || column.type == DType::float64;
  if (column.layout == Layout::text || !floating) return;
  for (const Piece& piece : pieces) {
    const Piece::Column& source = piece.columns[index];
    for (std::size_t row = piece.begin; row < piece.end; ++row) {
      if (!is_ok(status[row])) continue;
      const std::size_t at = row - piece.begin;
      const bool fixed = column.layout == Layout::fixed;
      const auto* values = static_cast<const std::byte*>((fixed ? source.fixed : source.ragged[at]).const_data_ptr());
      const std::size_t count = fixed ? column.elements() : static_cast<std::size_t>(source.ragged[at].numel());
      if (!all_finite(column.type, fixed ? values + at * column.row_bytes() : values, count)) flags[row] |= flag_not_finite;
    }
  }
}

void fill_fixed(const ColumnSpec& column, std::size_t index, const std::vector<Piece>& pieces,
                std::span<const std::uint8_t> status, std::byte* out) {
  const std::size_t row_bytes = column.row_bytes();
  if (row_bytes == 0) return;
  for (const Piece& piece : pieces)
    std::memcpy(out + piece.begin * row_bytes, piece.columns[index].fixed.const_data_ptr(),
                (piece.end - piece.begin) * row_bytes);
  for (std::size_t row = 0; row < status.size(); ++row)
    if (!is_ok(status[row])) blank(column.type, out + row * row_bytes, row_bytes);
}

void count_rows(const ColumnSpec& column, std::size_t index, const std::vector<Piece>& pieces,
                std::span<const std::uint8_t> status, std::vector<std::uint32_t>& counts) {
  counts.assign(status.size(), 0);
  for (const Piece& piece : pieces) {
    const Piece::Column& source = piece.columns[index];
    for (std::size_t row = piece.begin; row < piece.end; ++row) {
      if (!is_ok(status[row])) continue;
      const std::size_t at = row - piece.begin;
      const std::size_t count =
          column.layout == Layout::text ? source.text[at].size() : static_cast<std::size_t>(source.ragged[at].size(0));
      if (count > std::numeric_limits<std::uint32_t>::max())
        throw Error("output '" + column.name + "' has a row of more than 4 G elements");
      counts[row] = static_cast<std::uint32_t>(count);
    }
  }
}

void fill_varying(const ColumnSpec& column, std::size_t index, const std::vector<Piece>& pieces,
                  std::span<const std::uint32_t> counts, std::byte* out) {
  const std::size_t item_bytes = column.layout == Layout::text ? 1 : column.row_bytes();
  for (const Piece& piece : pieces) { // in the order of rows
    const Piece::Column& source = piece.columns[index];
    for (std::size_t row = piece.begin; row < piece.end; ++row) {
      const std::size_t bytes = counts[row] * item_bytes;
      if (bytes == 0) continue;
      const std::size_t at = row - piece.begin;
      std::memcpy(out, column.layout == Layout::text ? source.text[at].data() : source.ragged[at].const_data_ptr(), bytes);
      out += bytes;
    }
  }
}

} // namespace mgpu::worker
