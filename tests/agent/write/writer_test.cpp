#include "agent/write/hdf5/writer.hpp"

#include <atomic>
#include <functional>

#include "agent/write/samples.hpp"
#include "common/wire/encoded_block.hpp"

namespace mgpu::agent::write::test {
namespace {

using namespace std::chrono_literals;

/// A batch with its own memory that knows when it is given back.
Block block_of(const wire::BatchResult& result, std::atomic<int>* released = nullptr) {
  const wire::Block encoded = wire::make_block(result);
  const std::shared_ptr<void> owner(encoded.owner.get(), [released, kept = encoded.owner](void*) {
    if (released != nullptr) ++*released;
  });
  return {1, encoded.bytes, owner};
}

bool wait_until(const std::function<bool()>& done) {
  for (int turn = 0; turn < 1000; ++turn) {
    if (done()) return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

/// What the thread does to a file, seen from outside.
struct FakeFile : ResultFile {
  void set_columns(const std::vector<ColumnSpec>&) override { ++columns; }
  void put(const wire::BatchResult& result, std::int32_t, const std::shared_ptr<void>&) override {
    if (delay > 0ms) std::this_thread::sleep_for(delay);
    if (result.first == fail_at) throw Error("no room", ExitCode::stopped);
    ++puts;
  }
  void commit() override { ++commits; }
  void finish(const Footer&) override { ++finishes; }
  std::atomic<int> columns{0}, puts{0}, commits{0}, finishes{0};
  std::uint64_t fail_at = ~0ull;
  std::chrono::milliseconds delay{0};
};

TEST(Writer, WritesAWholeFile) {
  const Folder folder;
  const auto manifest = some_manifest(folder, 100);
  std::atomic<int> released{0};
  {
    Writer writer(ResultFile::create(folder / "out.h5", manifest, some_header()));
    writer.set_columns(all_columns());
    for (std::uint64_t first = 0; first < 100; first += 10) {
      const SampleBatch batch(all_columns(), first, 10);
      writer.put(block_of(batch.result, &released));
    }
    writer.finish(some_footer());
    EXPECT_EQ(released, 10);
    EXPECT_GE(writer.busy_fraction(), 0);
    EXPECT_LE(writer.busy_fraction(), 1);
    EXPECT_THROW(writer.finish(some_footer()), Error);
  }
  const ReadFile file(folder / "out.h5");
  EXPECT_TRUE(file.complete());
  const auto status = file.status();
  EXPECT_EQ(std::count(status.begin(), status.end(), Status::pending), 0);
}

TEST(Writer, CommitsWithoutFurtherBlocksButNotForEachOne) {
  auto owned = std::make_unique<FakeFile>();
  FakeFile& file = *owned;
  Writer writer(std::move(owned), 50ms);
  const SampleBatch batch({}, 0, 1);
  for (int i = 0; i < 1000; ++i) writer.put(block_of(batch.result));
  EXPECT_TRUE(wait_until([&] { return file.puts == 1000 && file.commits > 0; }));
  EXPECT_LT(file.commits, 100);
  const int commits = file.commits;
  std::this_thread::sleep_for(200ms);
  EXPECT_EQ(file.commits, commits) << "nothing new to commit";
}

TEST(Writer, IsFullBeyondItsQueue) {
  auto owned = std::make_unique<FakeFile>();
  owned->delay = 20ms;
  FakeFile& file = *owned;
  Writer writer(std::move(owned), 50ms, 1000);
  const SampleBatch batch({}, 0, 1);
  EXPECT_FALSE(writer.full());
  for (int i = 0; i < 20; ++i) writer.put(block_of(batch.result));
  EXPECT_TRUE(writer.full());
  EXPECT_TRUE(wait_until([&] { return !writer.full(); }));
  writer.finish(some_footer());
  EXPECT_EQ(file.puts, 20);
  EXPECT_EQ(file.finishes, 1);
}

TEST(Writer, SaysWhatItsThreadMetAndGivesBlocksBack) {
  auto owned = std::make_unique<FakeFile>();
  owned->fail_at = 3;
  FakeFile& file = *owned;
  Writer writer(std::move(owned), 50ms);
  std::atomic<int> released{0};
  writer.check();
  for (std::uint64_t first = 0; first < 10; ++first) {
    const SampleBatch batch({}, first, 1);
    writer.put(block_of(batch.result, &released));
  }
  EXPECT_TRUE(wait_until([&] { return released == 10; }));
  // The blocks are given back while the exception is on its way, before check() knows of it.
  EXPECT_TRUE(wait_until([&] {
    try {
      writer.check();
      return false;
    } catch (const Error&) {
      return true;
    }
  }));
  try {
    writer.finish(some_footer());
    ADD_FAILURE() << "finished a file that failed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::stopped);
  }
  EXPECT_EQ(file.puts, 3);
  EXPECT_EQ(file.finishes, 0);
}

TEST(Writer, WritesRowsOfThisProcess) {
  const Folder folder;
  const auto manifest = some_manifest(folder, 100);
  std::atomic<int> released{0};
  {
    Writer writer(ResultFile::create(folder / "out.h5", manifest, some_header()));
    writer.set_columns(all_columns());
    const SampleBatch batch(all_columns(), 20, 10);
    const Block block = block_of(batch.result, &released);
    writer.put(Rows{1, wire::part_of(wire::decode_batch_result(block.bytes), 2, 7), block.owner, block.bytes.size()});
    writer.finish(some_footer(false));
  }
  EXPECT_EQ(released, 1);
  const auto status = ReadFile(folder / "out.h5").status();
  EXPECT_NE(status.at(22), Status::pending);
  EXPECT_NE(status.at(26), Status::pending);
  EXPECT_EQ(std::count(status.begin(), status.end(), Status::pending), 95);
}

TEST(Writer, ATornBlockIsAnError) {
  Writer writer(std::make_unique<FakeFile>());
  const SampleBatch batch({}, 0, 1);
  Block block = block_of(batch.result);
  block.bytes = block.bytes.first(40);
  writer.put(std::move(block));
  EXPECT_THROW(writer.finish(some_footer()), Error);
}

TEST(Writer, LeftWithoutFinishItCommitsWhatItHas) {
  const Folder folder;
  const auto manifest = some_manifest(folder, 8);
  const std::vector<ColumnSpec> columns{{"x", DType::float32, Layout::fixed, {}}};
  {
    Writer writer(ResultFile::create(folder / "out.h5", manifest, some_header()));
    writer.set_columns(columns);
    const SampleBatch batch(columns, 0, 3);
    writer.put(block_of(batch.result));
  }
  const ReadFile file(folder / "out.h5.partial");
  EXPECT_FALSE(file.complete());
  EXPECT_EQ(file.status()[2], Status::ok);
  EXPECT_EQ(file.status()[3], Status::pending);
}

} // namespace
} // namespace mgpu::agent::write::test
