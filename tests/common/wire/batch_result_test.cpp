#include "common/wire/batch_result.hpp"

#include "common/wire/encoded_block.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <random>

namespace mgpu::wire {
namespace {

struct AlignedBlock {
  explicit AlignedBlock(std::size_t size, int fill = 0xAA)
      : bytes(static_cast<std::byte*>(std::aligned_alloc(block_alignment, size)), &std::free), size(size) {
    std::memset(bytes.get(), fill, size);
  }
  View view() const { return {bytes.get(), size}; }
  std::unique_ptr<std::byte, void (*)(void*)> bytes;
  std::size_t size;
};

/// Owns what a BatchResult only views.
struct Sample {
  std::vector<std::uint8_t> status{1, 2, 1}, flags{0, 0, 1};
  std::vector<float> seconds{0.1f, 0.2f, 0.3f};
  std::vector<float> logits{1, 2, 0, 0, 5, 6};
  std::vector<std::uint32_t> counts{2, 0, 3};
  std::string text = "ABxyz";

  BatchResult view() const {
    BatchResult result;
    result.batch = 7;
    result.first = 21;
    result.attempt = 2;
    result.status = status;
    result.flags = flags;
    result.seconds = seconds;
    result.errors = {{1, "truncated JPEG"}};
    result.columns = {{0, {}, std::as_bytes(std::span(logits))}, {1, counts, std::as_bytes(std::span(text))}};
    return result;
  }
};

TEST(BatchResult, ComesBackInPlaceAndAligned) {
  const Sample sample;
  const BatchResult result = sample.view();
  const AlignedBlock block(encoded_size(result));
  ASSERT_EQ(block.size % block_alignment, 0u);
  encode(result, block.bytes.get());

  const BatchResult back = decode_batch_result(block.view());
  EXPECT_EQ(back.batch, 7u);
  EXPECT_EQ(back.first, 21u);
  EXPECT_EQ(back.attempt, 2u);
  EXPECT_EQ(std::vector(back.status.begin(), back.status.end()), sample.status);
  EXPECT_EQ(std::vector(back.flags.begin(), back.flags.end()), sample.flags);
  EXPECT_EQ(std::vector(back.seconds.begin(), back.seconds.end()), sample.seconds);
  ASSERT_EQ(back.errors.size(), 1u);
  EXPECT_EQ(back.errors[0].first, 1u);
  EXPECT_EQ(back.errors[0].second, "truncated JPEG");
  ASSERT_EQ(back.columns.size(), 2u);
  EXPECT_TRUE(back.columns[0].counts.empty());
  EXPECT_EQ(std::memcmp(back.columns[0].data.data(), sample.logits.data(), 24), 0);
  EXPECT_EQ(std::vector(back.columns[1].counts.begin(), back.columns[1].counts.end()), sample.counts);
  EXPECT_EQ(std::memcmp(back.columns[1].data.data(), "ABxyz", 5), 0);
  for (const ColumnData& column : back.columns) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(column.data.data()) % block_alignment, 0u);
    EXPECT_GE(column.data.data(), block.bytes.get()); // a view into the block, not a copy
    EXPECT_LT(column.data.data(), block.bytes.get() + block.size);
  }
}

TEST(BatchResult, BytesDoNotDependOnWhatLayThereBefore) {
  const Sample sample;
  const BatchResult result = sample.view();
  const AlignedBlock a(encoded_size(result), 0x00), b(encoded_size(result), 0xFF);
  encode(result, a.bytes.get());
  encode(result, b.bytes.get());
  EXPECT_EQ(std::memcmp(a.bytes.get(), b.bytes.get(), a.size), 0);
}

TEST(BatchResult, DataCanBeFilledInPlace) {
  const Sample sample;
  BatchResult result = sample.view();
  result.columns[0].data = View(static_cast<const std::byte*>(nullptr), 24);
  const AlignedBlock block(encoded_size(result));
  const std::vector<std::byte*> data = encode(result, block.bytes.get()).data;
  ASSERT_EQ(data.size(), 2u);
  std::memcpy(data[0], sample.logits.data(), 24);

  const AlignedBlock whole(encoded_size(sample.view()));
  encode(sample.view(), whole.bytes.get());
  ASSERT_EQ(whole.size, block.size);
  EXPECT_EQ(std::memcmp(whole.bytes.get(), block.bytes.get(), block.size), 0);
}

TEST(BatchResult, CrcsOfRowsTravelAndAreZeroUntilTheyAreMade) {
  const Sample sample;
  const std::vector<std::uint32_t> crcs{11, 0, 13};
  BatchResult result = sample.view();
  const AlignedBlock block(encoded_size(result));
  const BlockPlaces places = encode(result, block.bytes.get());
  EXPECT_EQ(decode_batch_result(block.view()).crcs[2], 0u);
  std::copy(crcs.begin(), crcs.end(), places.crcs);
  const BatchResult back = decode_batch_result(block.view());
  EXPECT_EQ(std::vector(back.crcs.begin(), back.crcs.end()), crcs);
  EXPECT_EQ(part_of(back, 1, 3).crcs[1], 13u);
  const std::vector<std::uint32_t> too_few{1};
  result.crcs = too_few;
  EXPECT_THROW(encode(result, block.bytes.get()), Error);
}

TEST(BatchResult, PartsHoldTheirRowsAndNoMore) {
  const Sample sample;
  BatchResult result = sample.view();
  result.causes = {Cause::io};
  for (std::size_t begin = 0; begin < 3; ++begin)
    for (std::size_t end = begin + 1; end <= 3; ++end) {
      const Block block = make_block(part_of(result, begin, end));
      const BatchResult part = decode_batch_result(block.bytes);
      EXPECT_EQ(part.first, 21 + begin);
      EXPECT_EQ(part.rows(), end - begin);
      const bool has_error = begin <= 1 && end > 1;
      ASSERT_EQ(part.errors.size(), has_error ? 1U : 0U);
      if (has_error) {
        EXPECT_EQ(part.errors[0].first, 1 - begin);
        EXPECT_EQ(part.cause(0), Cause::io);
      }
      ASSERT_EQ(part.columns[0].data.size(), (end - begin) * 8);
      EXPECT_EQ(std::memcmp(part.columns[0].data.data(), sample.logits.data() + 2 * begin, (end - begin) * 8), 0);
      const std::string texts[] = {"AB", "", "xyz"};
      std::string text;
      for (std::size_t row = begin; row < end; ++row) text += texts[row];
      ASSERT_EQ(part.columns[1].data.size(), text.size());
      EXPECT_EQ(std::memcmp(part.columns[1].data.data(), text.data(), text.size()), 0);
    }
}

TEST(BatchResult, NoRowsNoColumns) {
  const BatchResult empty;
  const AlignedBlock block(encoded_size(empty));
  encode(empty, block.bytes.get());
  EXPECT_EQ(decode_batch_result(block.view()).rows(), 0u);
}

TEST(BatchResult, TornOnesAreRefused) {
  const Sample sample;
  const AlignedBlock block(encoded_size(sample.view()));
  encode(sample.view(), block.bytes.get());
  for (std::size_t size = 0; size < block.size; ++size)
    EXPECT_THROW(decode_batch_result(block.view().first(size)), Error) << size;
  block.bytes.get()[0] = std::byte{0};
  EXPECT_THROW(decode_batch_result(block.view()), Error);
}

TEST(BatchResult, UnequalLengthsAreRefusedWhenWritten) {
  Sample sample;
  sample.flags.pop_back();
  AlignedBlock block(4096);
  EXPECT_THROW(encode(sample.view(), block.bytes.get()), Error);
  sample = Sample();
  sample.counts.pop_back();
  EXPECT_THROW(encode(sample.view(), block.bytes.get()), Error);
}

TEST(BatchResult, DamagedBytesNeverReadOutside) {
  const Sample sample;
  const AlignedBlock whole(encoded_size(sample.view()));
  encode(sample.view(), whole.bytes.get());
  std::mt19937 random(1);
  std::size_t refused = 0;
  for (int trial = 0; trial < 5000; ++trial) {
    AlignedBlock damaged(whole.size);
    std::memcpy(damaged.bytes.get(), whole.bytes.get(), whole.size);
    for (int change = 0; change < 3; ++change) damaged.bytes.get()[random() % whole.size] = static_cast<std::byte>(random());
    try {
      const BatchResult back = decode_batch_result(damaged.view());
      for (const ColumnData& column : back.columns)
        ASSERT_LE(column.data.data() + column.data.size(), damaged.bytes.get() + damaged.size);
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 0u);
}

} // namespace
} // namespace mgpu::wire
