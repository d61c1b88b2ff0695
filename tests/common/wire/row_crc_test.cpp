#include "common/wire/row_crc.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mgpu::wire {
namespace {

/// CRC-32C bit by bit, from its definition (RFC 3720, appendix B.4).
std::uint32_t slow_crc(const std::string& bytes) {
  std::uint32_t crc = ~0U;
  for (const char byte : bytes) {
    crc ^= static_cast<std::uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78U : 0U);
  }
  return ~crc;
}

std::string bytes_of(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

const std::vector<ColumnSpec> columns{{"pair", DType::float32, Layout::fixed, {2}},
                                      {"list", DType::float32, Layout::ragged, {}},
                                      {"text", DType::uint8, Layout::text, {}}};

struct Sample {
  std::vector<std::uint8_t> status{1, 2, 1};
  std::vector<float> pair{1, 2, 0, 0, 5, 6}, list{7, 8, 9};
  std::vector<std::uint32_t> list_counts{1, 0, 2}, text_counts{3, 0, 0};
  std::string text{"a\0b", 3};

  BatchResult view() const {
    BatchResult result;
    result.status = status;
    result.columns = {{0, {}, std::as_bytes(std::span(pair))},
                      {1, list_counts, std::as_bytes(std::span(list))},
                      {2, text_counts, std::as_bytes(std::span(text))}};
    return result;
  }
};

std::vector<std::uint32_t> crcs_of(const BatchResult& result) {
  std::vector<std::uint32_t> crcs(result.rows(), 77);
  make_row_crcs(result, columns, crcs.data());
  return crcs;
}

std::uint32_t cell(const std::string& name, const std::string& bytes) {
  return slow_crc(name + bytes) * (2 * slow_crc(name) + 1);
}

TEST(RowCrc, IsTheSumOverColumnsOfNameAndBytes) {
  const Sample sample;
  const std::uint32_t first = cell("pair", bytes_of({1, 2})) + cell("list", bytes_of({7})) +
                              cell("text",
                                   "a\xef\xbf\xbd"
                                   "b");
  const std::uint32_t last = cell("pair", bytes_of({5, 6})) + cell("list", bytes_of({8, 9})) + cell("text", "");
  EXPECT_EQ(crcs_of(sample.view()), (std::vector<std::uint32_t>{first, 0, last}));
}

TEST(RowCrc, DoesNotDependOnTheOrderOfColumnsOrOnTheRowsBeside) {
  const Sample sample;
  BatchResult turned = sample.view();
  std::swap(turned.columns[0], turned.columns[2]);
  EXPECT_EQ(crcs_of(turned), crcs_of(sample.view()));
  const BatchResult last = part_of(
      [&] {
        BatchResult whole = sample.view();
        static const std::vector<std::uint8_t> flags(3);
        static const std::vector<float> seconds(3);
        whole.flags = flags;
        whole.seconds = seconds;
        return whole;
      }(),
      2, 3);
  EXPECT_EQ(crcs_of(last).at(0), crcs_of(sample.view()).at(2));
}

TEST(RowCrc, TellsTwinColumnsApart) {
  const std::vector<ColumnSpec> twins{{"a", DType::float32, Layout::fixed, {}}, {"b", DType::float32, Layout::fixed, {}}};
  const auto crc_of = [&](float a, float b) {
    const std::vector<std::uint8_t> ok{1};
    BatchResult result;
    result.status = ok;
    result.columns = {{0, {}, std::as_bytes(std::span(&a, 1))}, {1, {}, std::as_bytes(std::span(&b, 1))}};
    std::uint32_t crc = 0;
    make_row_crcs(result, twins, &crc);
    return crc;
  };
  EXPECT_NE(crc_of(1, 2), crc_of(2, 1)) << "exchanged";
  EXPECT_NE(crc_of(1, 1), crc_of(2, 2)) << "changed alike";
}

} // namespace
} // namespace mgpu::wire
