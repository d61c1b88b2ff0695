// A result that is too large for one frame goes in parts.
#include <gmock/gmock.h>

#include "common/wire/control_messages.hpp"
#include "worker/device/torch.hpp"
#include "worker/run/result_sender.hpp"

namespace mgpu::worker {
namespace {

/// A batch of `rows` rows of 100 floats each, and one text a row; `failed` has no outputs.
RanBatch make_batch(std::size_t rows, std::size_t failed) {
  RanBatch ran;
  ran.batch = std::make_unique<LoadedBatch>();
  ran.batch->range.batch = 3;
  ran.batch->range.first = 30;
  ran.batch->range.items.resize(rows);
  ran.batch->errors.assign(rows, "");
  ran.batch->causes.assign(rows, Cause::item);
  ran.batch->seconds.assign(rows, 0.0F);
  ran.batch->fail(failed, "no such file", Cause::io);
  Piece piece{0, rows, {}};
  Piece::Column values, texts;
  values.fixed = torch::arange(static_cast<std::int64_t>(rows)).to(torch::kFloat).unsqueeze(1).repeat({1, 100});
  for (std::size_t row = 0; row < rows; ++row) texts.text.push_back("text " + std::to_string(row));
  piece.columns = {values, texts};
  ran.pieces.push_back(piece);
  return ran;
}

struct Sent {
  std::vector<std::vector<std::byte>> blocks;
  std::uint64_t items = 0, failed = 0;
};

Sent send(const RanBatch& ran, std::size_t largest) {
  const auto [mine, theirs] = wire::Channel::make_pair();
  wire::Channel worker(mine), agent(theirs);
  auto ring = wire::SharedMemory::create(1 << 20);
  ResultSender sender(worker, ring, largest);
  const std::vector<ColumnSpec> columns{{"values", DType::float32, Layout::fixed, {100}},
                                        {"texts", DType::uint8, Layout::text, {}}};
  sender.add(ran, columns, 1.0);
  sender.flush();
  Sent sent;
  agent.receive([&](wire::Type, wire::View payload) {
    const auto range = wire::decode<wire::SharedRange>(payload);
    sent.blocks.emplace_back(ring.data() + range.offset, ring.data() + range.offset + range.size);
  });
  sent.items = sender.items();
  sent.failed = sender.failed();
  return sent;
}

TEST(ResultSender, ALargeBatchGoesInParts) {
  const RanBatch ran = make_batch(13, 5);
  EXPECT_EQ(send(ran, 1 << 20).blocks.size(), 1U);
  for (const std::size_t largest : {4000, 2000, 1000}) {
    const Sent sent = send(ran, largest);
    EXPECT_GT(sent.blocks.size(), 1U);
    EXPECT_EQ(sent.items, 13U);
    EXPECT_EQ(sent.failed, 1U);
    std::uint64_t next = 30;
    for (const auto& block : sent.blocks) {
      EXPECT_LE(block.size(), largest);
      const wire::BatchResult part = wire::decode_batch_result(block);
      EXPECT_EQ(part.batch, 3U);
      EXPECT_EQ(part.first, next);
      std::size_t text_at = 0;
      for (std::size_t row = 0; row < part.rows(); ++row, ++next) {
        EXPECT_EQ(part.status[row], next == 35 ? 2 : 1);
        float value = 0;
        std::memcpy(&value, part.columns[0].data.data() + row * 400, sizeof value);
        EXPECT_TRUE(next == 35 || value == static_cast<float>(next - 30)) << value;
        const std::string text(reinterpret_cast<const char*>(part.columns[1].data.data()) + text_at, part.columns[1].counts[row]);
        EXPECT_EQ(text, next == 35 ? "" : "text " + std::to_string(next - 30));
        text_at += part.columns[1].counts[row];
      }
      for (std::size_t i = 0; i < part.errors.size(); ++i) EXPECT_EQ(part.cause(i), Cause::io);
    }
    EXPECT_EQ(next, 43U);
  }
}

} // namespace
} // namespace mgpu::worker
