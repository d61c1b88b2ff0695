#include "worker/batch/prefetcher.hpp"
#include "worker/device/torch.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <set>

#include "common/wire/items_messages.hpp"
#include "mgpu/error.hpp"

namespace mgpu::worker {
namespace {

using testing::HasSubstr;

/// Whether every thread of this process but the caller sleeps.
bool others_sleep() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    if (task.path().filename() == std::to_string(gettid())) continue;
    std::ifstream file(task.path() / "stat");
    std::string text;
    std::getline(file, text);
    const std::size_t name_end = text.rfind(')');
    if (name_end != std::string::npos && name_end + 2 < text.size() && text[name_end + 2] != 'S') return false;
  }
  return true;
}

/// Until all others wait: nothing is being loaded, and whoever takes a batch waits for it.
void wait_for_quiet() {
  constexpr int looks = 20; // a thread may sleep for a moment, for a lock
  for (int quiet = 0; quiet < looks; std::this_thread::yield()) quiet = others_sleep() ? quiet + 1 : 0;
}

/// Rows hold their item's index; items named "bad" throw.
class CountingWork : public Work {
 public:
  explicit CountingWork(bool fixed) : fixed_(fixed) {}
  void open(const RankContext&) override {}
  std::optional<RowSpec> row_spec() const override { return fixed_ ? std::optional(RowSpec{{2}, torch::kFloat}) : std::nullopt; }
  void prepare(const Item& item, Sample& sample) override {
    before(item);
    const int under_way = ++rows_;
    if (fixed_)
      sample.input.fill_(static_cast<double>(item.index));
    else
      sample.input = torch::full({1 + static_cast<std::int64_t>(item.index % 3)}, static_cast<double>(item.index));
    sample.extra = under_way;
    if (item.path == "bad") throw Error("this item is bad");
  }
  void run(const Batch&, Outputs&) override {}
  std::function<void(const Item&)> before = [](const Item&) {}; ///< a row is prepared
  std::atomic<int> rows_{0};

 private:
  bool fixed_;
};

torch::Tensor allocate(at::IntArrayRef shape, torch::ScalarType type) {
  return torch::full(shape, -1, type);
}

wire::BatchRange range(std::uint64_t batch, std::size_t rows, const std::string& path = "good") {
  wire::BatchRange range{batch, batch * 4, 1, {}};
  for (std::size_t row = 0; row < rows; ++row) {
    Item item;
    item.index = range.first + row;
    item.path = path;
    range.items.push_back(item);
  }
  return range;
}

class PrefetcherTest : public testing::TestWithParam<int> {
 protected:
  Prefetcher::Settings settings(const Work& work, std::size_t buffers = 3) {
    return {GetParam(), 4, buffers, work.row_spec(), allocate};
  }
  TraceEvents trace_{false, 0, [](std::string_view) {}};
};

TEST_P(PrefetcherTest, GivesBatchesInTheOrderAdded) {
  CountingWork work(true);
  std::atomic<std::uint64_t> newest{0};
  work.before = [&](const Item& item) { // the first row of some batches ends after one of the next batch has begun
    const std::uint64_t batch = item.index / 4;
    for (std::uint64_t seen = newest; seen < batch && !newest.compare_exchange_weak(seen, batch);) continue;
    const bool slow = GetParam() > 1 && item.index % 4 == 0 && batch % 7 == 0 && batch < 49;
    while (slow && newest == batch) std::this_thread::yield();
  };
  Prefetcher prefetcher(work, settings(work), trace_);
  for (std::uint64_t batch = 0; batch < 50; ++batch) prefetcher.add(range(batch, batch % 4 + 1));
  prefetcher.close();
  for (std::uint64_t batch = 0; batch < 50; ++batch) {
    auto loaded = prefetcher.take();
    ASSERT_NE(loaded, nullptr);
    EXPECT_EQ(loaded->range.batch, batch);
    ASSERT_EQ(loaded->input.size(0), static_cast<std::int64_t>(batch % 4 + 1));
    for (std::size_t row = 0; row < loaded->rows(); ++row)
      EXPECT_EQ(loaded->input[static_cast<std::int64_t>(row)][1].item<float>(), static_cast<float>(batch * 4 + row));
    prefetcher.recycle(std::move(loaded));
  }
  EXPECT_EQ(prefetcher.take(), nullptr);
}

TEST_P(PrefetcherTest, AFailedRowIsZeroEvenInAUsedBuffer) {
  CountingWork work(true);
  Prefetcher prefetcher(work, settings(work, 1), trace_);
  for (int round = 0; round < 5; ++round) {
    prefetcher.add(range(1, 4));
    prefetcher.recycle(prefetcher.take());
    prefetcher.add(range(2, 4, "bad"));
    auto loaded = prefetcher.take();
    EXPECT_FALSE(loaded->ok(3));
    EXPECT_EQ(loaded->errors[3], "this item is bad");
    EXPECT_TRUE(torch::equal(loaded->input, torch::zeros({4, 2})));
    prefetcher.recycle(std::move(loaded));
  }
}

TEST_P(PrefetcherTest, LoadsNoFurtherThanItHasBuffers) {
  CountingWork work(true);
  Prefetcher prefetcher(work, settings(work, 2), trace_);
  for (std::uint64_t batch = 0; batch < 10; ++batch) prefetcher.add(range(batch, 4));
  auto first = prefetcher.take(), second = prefetcher.take();
  wait_for_quiet();
  EXPECT_EQ(work.rows_, 8);
  prefetcher.recycle(std::move(first));
  EXPECT_NE(prefetcher.take(), nullptr);
  EXPECT_LE(work.rows_, 12);
}

TEST_P(PrefetcherTest, PadsRowsOfDifferentLength) {
  CountingWork work(false);
  Prefetcher prefetcher(work, settings(work), trace_);
  prefetcher.add(range(0, 3));
  const auto loaded = prefetcher.take();
  EXPECT_TRUE(torch::equal(loaded->input, torch::tensor({{0., 0., 0.}, {1., 1., 0.}, {2., 2., 2.}}).to(torch::kFloat)));
  EXPECT_TRUE(torch::equal(loaded->lengths, torch::tensor({1, 2, 3}, torch::kLong)));
  EXPECT_TRUE(loaded->samples[0].extra.has_value());
}

TEST_P(PrefetcherTest, StopWakesAWaitingConsumer) {
  CountingWork work(true);
  Prefetcher prefetcher(work, settings(work), trace_);
  auto taken = std::async(std::launch::async, [&] { return prefetcher.take(); });
  wait_for_quiet();
  prefetcher.stop();
  EXPECT_EQ(taken.get(), nullptr);
}

TEST_P(PrefetcherTest, TellsWaitingForDataFromWaitingForGrants) {
  CountingWork work(true);
  Prefetcher prefetcher(work, settings(work), trace_);
  const auto add_while_it_waits = [&](std::uint64_t batch) {
    return std::async(std::launch::async, [&prefetcher, batch] {
      wait_for_quiet();
      prefetcher.add(range(batch, 1));
    });
  };
  auto first = add_while_it_waits(0);
  prefetcher.recycle(prefetcher.take());
  first.get();
  EXPECT_EQ(prefetcher.waits().for_grant_s, 0) << "before the first grant nothing counts";
  auto second = add_while_it_waits(1);
  prefetcher.recycle(prefetcher.take());
  second.get();
  const Prefetcher::Waits waits = prefetcher.waits();
  EXPECT_GT(waits.for_grant_s, 0);

  double prepared_s = 0;
  work.before = [&](const Item&) {
    const auto begin = std::chrono::steady_clock::now();
    wait_for_quiet(); // the batch is taken while its row is prepared
    prepared_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  prefetcher.add(range(2, 1));
  prefetcher.recycle(prefetcher.take());
  EXPECT_EQ(prefetcher.waits().for_grant_s, waits.for_grant_s) << "it was granted";
  EXPECT_GT(prefetcher.waits().for_data_s, waits.for_data_s);
  EXPECT_GE(prefetcher.load_s(), prepared_s);
}

TEST_P(PrefetcherTest, RefusesABatchThatCannotBe) {
  CountingWork work(true);
  Prefetcher prefetcher(work, settings(work), trace_);
  EXPECT_THROW(prefetcher.add(range(0, 0)), Error);
  EXPECT_THROW(prefetcher.add(range(0, 5)), Error);
}

/// Rows of 1, 2, 3, 1, 2, … floats: what padding would make too large is given in parts, in order, whatever loader is first.
TEST_P(PrefetcherTest, ABatchThatPaddingMakesTooLargeComesInParts) {
  CountingWork work(false);
  Prefetcher::Settings bounded = settings(work);
  bounded.bytes = 16; // 4 floats
  Prefetcher prefetcher(work, bounded, trace_);
  for (std::uint64_t batch = 0; batch < 20; ++batch) prefetcher.add(range(batch, 4));
  prefetcher.close();
  std::uint64_t next = 0;
  while (auto part = prefetcher.take()) {
    EXPECT_EQ(part->range.first, next);
    EXPECT_EQ(part->range.batch, next / 4);
    EXPECT_TRUE(part->rows() == 1 || part->input.nbytes() <= 16) << part->input.sizes();
    for (std::size_t row = 0; row < part->rows(); ++row, ++next) {
      EXPECT_EQ(part->range.items[row].index, next);
      EXPECT_TRUE(part->ok(row));
      EXPECT_EQ(part->lengths[static_cast<std::int64_t>(row)].item<std::int64_t>(), static_cast<std::int64_t>(1 + next % 3));
      EXPECT_EQ(part->input[static_cast<std::int64_t>(row)][0].item<float>(), static_cast<float>(next));
    }
    prefetcher.recycle(std::move(part));
  }
  EXPECT_EQ(next, 80U);
}

TEST_P(PrefetcherTest, OfABatchThatWasCutOnlyTheWantedRowsAreGivenInParts) {
  CountingWork work(false);
  Prefetcher::Settings bounded = settings(work);
  bounded.bytes = 4;
  Prefetcher prefetcher(work, bounded, trace_);
  wire::BatchRange cut = range(1, 4);
  cut.wanted_begin = 1;
  cut.wanted_rows = 2;
  prefetcher.add(cut);
  prefetcher.close();
  for (const std::uint64_t item : {5U, 6U}) {
    const auto part = prefetcher.take();
    ASSERT_NE(part, nullptr);
    ASSERT_EQ(part->rows(), 1U);
    EXPECT_EQ(part->range.first, item);
    EXPECT_EQ(part->range.wanted_rows, 0U);
  }
  EXPECT_EQ(prefetcher.take(), nullptr);
}

TEST_P(PrefetcherTest, LoadsNoFurtherThanItsBytes) {
  CountingWork work(false);
  Prefetcher::Settings bounded = settings(work);
  bounded.bytes = 64; // a batch takes 36 or 48
  Prefetcher prefetcher(work, bounded, trace_);
  for (std::uint64_t batch = 0; batch < 50; ++batch) prefetcher.add(range(batch, 4));
  wait_for_quiet();
  const int most = 4 * 4 + GetParam(); // two batches, and what the loaders were at
  EXPECT_LE(work.rows_, most);
  for (int batch = 0; batch < 50; ++batch) prefetcher.recycle(prefetcher.take());
  EXPECT_EQ(work.rows_, 200);
}

TEST_P(PrefetcherTest, WhatIsCollectedIsNoted) {
  const auto memory = wire::SharedMemory::create(wire::ActivityTable::size_bytes());
  auto& board = wire::ActivityTable::in(const_cast<wire::SharedMemory&>(memory));
  CountingWork work(false);
  Prefetcher::Settings noted = settings(work);
  noted.activity_table = &board;
  std::vector<wire::Activity> seen;
  noted.allocate = [&](at::IntArrayRef shape, torch::ScalarType type) {
    if (shape.size() > 1) seen = board.read();
    return torch::full(shape, -1, type);
  };
  Prefetcher prefetcher(work, noted, trace_);
  prefetcher.add(range(3, 4));
  const auto loaded = prefetcher.take();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].doing, wire::Doing::collecting);
  EXPECT_EQ(seen[0].batch, 3U);
  EXPECT_EQ(seen[0].first, 12U);
  EXPECT_EQ(seen[0].rows, 4U);
  EXPECT_TRUE(board.read().empty());
}

TEST_P(PrefetcherTest, NoMemoryToCollectIsNotTheItemsFault) {
  CountingWork work(false);
  Prefetcher::Settings poor = settings(work);
  poor.allocate = [](at::IntArrayRef, torch::ScalarType) -> torch::Tensor { throw std::bad_alloc(); };
  Prefetcher prefetcher(work, poor, trace_);
  prefetcher.add(range(0, 2));
  const auto loaded = prefetcher.take();
  EXPECT_THAT(loaded->errors[0], HasSubstr("no memory to collect"));
  EXPECT_EQ(loaded->causes[1], Cause::memory);
}

INSTANTIATE_TEST_SUITE_P(Loaders, PrefetcherTest, testing::Values(1, 2, 5));

TEST(Prefetcher, AJobMayAnswerWithATensorOfItsOwn) {
  class OwnTensor : public CountingWork {
   public:
    OwnTensor() : CountingWork(true) {}
    void prepare(const Item& item, Sample& sample) override {
      sample.input = item.index == 0 ? torch::full({2}, 5.0f) : torch::full({3}, 5.0f);
    }
  } work;
  TraceEvents trace{false, 0, [](std::string_view) {}};
  Prefetcher prefetcher(work, {1, 4, 2, work.row_spec(), allocate}, trace);
  prefetcher.add(range(0, 2));
  const auto loaded = prefetcher.take();
  EXPECT_TRUE(torch::equal(loaded->input[0], torch::full({2}, 5.0f)));
  EXPECT_THAT(loaded->errors[1], HasSubstr("another shape"));
}

} // namespace
} // namespace mgpu::worker
