// The real CUDA streams and batch runner on a GPU of host threads, whose copies read their source late.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "fake_gpu.h"
#include "worker/device/device_streams.hpp"
#include "worker/device/devices.hpp"
#include "worker/device/gpu_facts.hpp"
#include "worker/device/reason.hpp"
#include "worker/device/torch.hpp"
#include "worker/run/batch_runner.hpp"

namespace mgpu::worker {
namespace {

constexpr int rows = 16;

long happened(const char* what) {
  static const auto count = reinterpret_cast<long (*)(const char*)>(dlsym(RTLD_DEFAULT, "fake_gpu_count"));
  return count(what);
}

/// Gives its input back: made of copies alone, the kernels of this GPU do nothing.
class Copying : public Work {
 public:
  std::int64_t most_rows = rows; ///< that fit into the device's memory
  void open(const RankContext&) override {}
  void prepare(const Item&, Sample&) override {}
  void run(const Batch& batch, Outputs& outputs) override {
    if (batch.size() > most_rows) torch::empty({std::int64_t{1} << 40}, batch.input.options());
    outputs.add("copy", batch.input.clone());
  }
};

/// Batches through four pinned buffers that are overwritten as soon as a batch is finished: whoever still reads one is seen.
class FakeGpuStreams : public testing::Test {
 protected:
  void SetUp() override {
    for (InputBuffer& each : buffers_) {
      each.whole = streams_->host_tensor({rows, 16, 16, 3}, torch::kByte);
      free_.push_back(&each);
    }
  }

  void run(int begin, int end) {
    for (int number = begin; number < end; ++number) {
      if (free_.empty()) finish_one();
      InputBuffer* buffer = free_.front();
      free_.pop_front();
      auto batch = std::make_unique<LoadedBatch>();
      batch->range.batch = static_cast<std::uint64_t>(number);
      batch->range.items.resize(rows);
      batch->samples.resize(rows);
      batch->errors.assign(rows, "");
      batch->causes.assign(rows, Cause::item);
      batch->seconds.assign(rows, 0);
      batch->buffer = buffer;
      batch->input = buffer->whole.fill_(number % 251);
      Uploaded uploaded = streams_->upload(batch->input, {}, {});
      running_.push_back(runner_.run(std::move(batch), std::move(uploaded)));
      while (running_.size() > 1) finish_one();
    }
    while (!running_.empty()) finish_one();
  }

  void finish_one() {
    RanBatch ran = std::move(running_.front());
    running_.pop_front();
    streams_->finish(ran.done);
    std::size_t seen = 0;
    for (const Piece& piece : ran.pieces) {
      EXPECT_TRUE(piece.columns[0].fixed.eq(static_cast<std::int64_t>(ran.batch->range.batch % 251)).all().item<bool>())
          << "batch " << ran.batch->range.batch;
      seen += piece.end - piece.begin;
    }
    EXPECT_EQ(seen, static_cast<std::size_t>(rows)) << ran.batch->errors[0];
    ran.batch->buffer->whole.fill_(255);
    free_.push_back(ran.batch->buffer);
  }

  const c10::InferenceMode inference_;
  std::unique_ptr<DeviceStreams> streams_ = DeviceStreams::open(torch::Device(torch::kCUDA, 0));
  Copying work_;
  std::vector<std::string> warnings_;
  BatchRunner runner_{work_, *streams_, rows, Faults{}, [this](const std::string& line) { warnings_.push_back(line); }};
  std::vector<InputBuffer> buffers_{4};
  std::deque<InputBuffer*> free_;
  std::deque<RanBatch> running_;
};

TEST(FakeGpu, IsSeen) {
  std::string note;
  const auto devices = list_devices(note);
  ASSERT_EQ(devices.size(), 1u) << note;
  EXPECT_EQ(devices[0].name, "Fake GPU");
  EXPECT_EQ(devices[0].uuid, "GPU-00000000-0000-0000-0000-000000000001");
}

TEST_F(FakeGpuStreams, ReusedBuffersAreNeverReadTooLate) {
  run(0, 200);
}

/// What a batch may cost beside its copies and kernels: one wait for an event, nothing that waits for a whole stream, no new memory.
TEST_F(FakeGpuStreams, ABatchWaitsForOneEvent) {
  run(0, 20);
  constexpr int batches = 100;
  const long stream_waits = happened("stream synchronize"), device_waits = happened("device synchronize"),
             event_waits = happened("event synchronize"), mallocs = happened("malloc"), host = happened("host alloc"),
             pageable = happened("pageable copy");
  run(20, 20 + batches);
  EXPECT_EQ(happened("stream synchronize"), stream_waits);
  EXPECT_EQ(happened("device synchronize"), device_waits);
  EXPECT_LE(happened("event synchronize"), event_waits + batches);
  EXPECT_EQ(happened("malloc"), mallocs);
  EXPECT_EQ(happened("host alloc"), host);
  EXPECT_EQ(happened("pageable copy"), pageable);
}

TEST_F(FakeGpuStreams, ABatchThatDoesNotFitIsHalved) {
  work_.most_rows = rows / 4;
  const std::int64_t before = times_out_of_memory(0);
  run(0, 5);
  EXPECT_GT(times_out_of_memory(0), before);
  ASSERT_FALSE(warnings_.empty());
}

} // namespace
} // namespace mgpu::worker
