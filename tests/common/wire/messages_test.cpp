#include "common/wire/control_messages.hpp"
#include "common/wire/items_messages.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace mgpu::wire {
namespace {

template <typename Message>
Buffer encoded(const Message& message) {
  Buffer out;
  encode(message, out);
  return out;
}

/// Encodes, decodes and encodes again: equal bytes mean that every field came through (fields are checked by hand below).
template <typename Message>
Message round_trip(const Message& message) {
  const Buffer bytes = encoded(message);
  Message back = decode<Message>(bytes);
  EXPECT_EQ(encoded(back), bytes);
  return back;
}

/// Every shorter prefix and every longer message must be refused, never read beyond its end (the sanitizer build watches).
template <typename Message>
void expect_torn_is_refused(const Message& message) {
  const Buffer bytes = encoded(message);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const Buffer torn(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)); // own memory, so that overreads are seen
    EXPECT_THROW(decode<Message>(torn), Error) << size << " of " << bytes.size();
  }
  Buffer longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_THROW(decode<Message>(longer), Error);
}

Hello some_hello() {
  return {.pid = 77,
          .versions = {"0.1", "2.11.0", "13.0", "2.28.9", "5.1", "2.1.5"},
          .devices = {{"NVIDIA H200", "GPU-1", "0000:01:00.0", 150ull << 30, 0, {0, 2, 4}}, {"", "GPU-2", "", 7, 1}},
          .device_note = "note"};
}

Opened some_opened() {
  return {.seconds = 1.5,
          .memory_bytes = 12,
          .columns = {{"logits", DType::float16, Layout::fixed, {10, 2}}, {"text", DType::uint8, Layout::text, {}}},
          .device = "cpu",
          .uuid = "",
          .labels = {"zero", "one", ""}};
}

Grant some_grant() {
  Item plain{.index = 5, .path = "a b\n\"\xff", .columns = {{"label", "개"}, {"prompt", ""}}};
  Item shipped{.index = 6, .path = "x", .shipped = true, .content = std::string("\0\1\2", 3)};
  return {.batches = {{.batch = 9, .first = 5, .attempt = 2, .items = {plain, shipped}}, {.batch = 10, .first = 7}}};
}

TEST(Messages, HelloComesBack) {
  const Hello back = round_trip(some_hello());
  EXPECT_EQ(back.pid, 77);
  EXPECT_EQ(back.versions.jpeg, "2.1.5");
  ASSERT_EQ(back.devices.size(), 2u);
  EXPECT_EQ(back.devices[0].memory_bytes, 150ull << 30);
  EXPECT_EQ(back.devices[0].cores, (std::vector<std::int32_t>{0, 2, 4}));
  EXPECT_EQ(back.devices[1].uuid, "GPU-2");
  EXPECT_EQ(back.devices[1].index, 1);
  EXPECT_EQ(back.device_note, "note");
}

TEST(Messages, OpenedComesBack) {
  const Opened back = round_trip(some_opened());
  EXPECT_EQ(back.columns, some_opened().columns);
  EXPECT_EQ(back.labels, some_opened().labels);
  EXPECT_EQ(back.seconds, 1.5);
}

TEST(Messages, GrantKeepsBytesOfPathsAndContents) {
  const Grant back = round_trip(some_grant());
  ASSERT_EQ(back.batches.size(), 2u);
  const BatchRange& range = back.batches[0];
  EXPECT_EQ(range.batch, 9u);
  EXPECT_EQ(range.attempt, 2u);
  ASSERT_EQ(range.items.size(), 2u);
  EXPECT_EQ(range.items[0].path, "a b\n\"\xff");
  EXPECT_EQ(range.items[0].column("label"), "개");
  EXPECT_FALSE(range.items[0].shipped);
  EXPECT_TRUE(range.items[1].shipped);
  EXPECT_EQ(range.items[1].content, std::string("\0\1\2", 3));
  EXPECT_EQ(back.batches[1].first, 7u);
}

TEST(Messages, OthersComeBack) {
  EXPECT_EQ(round_trip(Progress{"reading", 0.5, 9}).fraction, 0.5);
  EXPECT_EQ(round_trip(Log{3, "line"}).text, "line");
  EXPECT_EQ(round_trip(Failure{75, "disk full"}).exit_code, 75);
  EXPECT_EQ(round_trip(SharedRange{64, 128}).size, 128u);
  EXPECT_EQ(round_trip(Stage{"/m"}).path, "/m");
  EXPECT_EQ(round_trip(Heartbeat{25, 7, "n1"}).node, "n1");
  EXPECT_EQ(round_trip(EndAgent{7}).pid, 7);
  EXPECT_EQ(round_trip(Bye{75, 1}).exit_code, 75);
  EXPECT_EQ(round_trip(Survey{"/out/.token", "17"}).token, "17");
  EXPECT_EQ(round_trip(Surveyed{1, 2, 3, 4, 5, {"eth0", "ib0"}, "ib0", "why"}).interfaces[1], "ib0");
  EXPECT_EQ(round_trip(Signal{10, 0, 1}).at_once, 1);
  EXPECT_EQ(round_trip(Staged{"/m", "no room", 2}).error, "no room");

  const Stats stats = round_trip(Stats{.items = 1, .failed = 2, .batches = 3, .busy_s = 4, .wall_s = 5, .memory_bytes = 6});
  EXPECT_EQ(stats.wall_s, 5);
  EXPECT_EQ(stats.memory_bytes, 6u);

  Configure configure;
  configure.job = "infer";
  configure.cores = {0, 2, 4};
  configure.batches_in_flight = 3;
  configure.trace = 1;
  const Configure configured = round_trip(configure);
  EXPECT_EQ(configured.cores, configure.cores);
  EXPECT_EQ(configured.batches_in_flight, 3);
  EXPECT_EQ(configured.dtype, "float32");
  EXPECT_EQ(configured.trace, 1);

  Join join;
  join.node = "n1";
  join.shared_size = 4;
  join.cores = {1};
  join.hdf5 = "1.10.8";
  const Join joined = round_trip(join);
  EXPECT_EQ(joined.shared_size, 4);
  EXPECT_EQ(joined.hdf5, "1.10.8");
}

TEST(Messages, TornOnesAreRefused) {
  expect_torn_is_refused(some_hello());
  expect_torn_is_refused(some_opened());
  expect_torn_is_refused(some_grant());
  expect_torn_is_refused(Progress{"s", 0.5, 1});
  expect_torn_is_refused(Log{1, "t"});
  expect_torn_is_refused(Stats{});
  expect_torn_is_refused(Failure{1, "t"});
  expect_torn_is_refused(Configure{});
  expect_torn_is_refused(SharedRange{1, 2});
  expect_torn_is_refused(Join{});
  expect_torn_is_refused(Stage{"p"});
  expect_torn_is_refused(Heartbeat{25, 7, "n1"});
  expect_torn_is_refused(EndAgent{7});
  expect_torn_is_refused(Surveyed{1, 2, 3, 4, 5, {"eth0"}, "", ""});
  expect_torn_is_refused(Bye{1, 1});
  expect_torn_is_refused(Signal{15, 1, 0});
  expect_torn_is_refused(Staged{"p", "e", 1});
}

Health some_health() {
  Health health;
  health.sample.temperature_c = 91;
  health.sample.memory_used_bytes = 7;
  health.sample.uncorrected_ecc = 2;
  health.sample.remap_failed = 1;
  health.xids = {45, 79};
  health.state = GpuState::drained;
  health.reason = "Xid 79";
  health.warnings = {"hot", ""};
  return health;
}

TEST(Messages, HealthComesBack) {
  const Health back = round_trip(some_health());
  EXPECT_EQ(back.sample.temperature_c, 91);
  EXPECT_TRUE(std::isnan(back.sample.power_w)) << "unknown stays unknown";
  EXPECT_EQ(back.sample.memory_used_bytes, 7);
  EXPECT_EQ(back.sample.memory_total_bytes, -1);
  EXPECT_EQ(back.sample.uncorrected_ecc, 2);
  EXPECT_EQ(back.sample.remap_pending, -1);
  EXPECT_EQ(back.sample.remap_failed, 1);
  EXPECT_EQ(back.xids, (std::vector<std::uint32_t>{45, 79}));
  EXPECT_EQ(back.state, GpuState::drained);
  EXPECT_EQ(back.reason, "Xid 79");
  EXPECT_EQ(back.warnings, (std::vector<std::string>{"hot", ""}));
  expect_torn_is_refused(some_health());
}

TEST(Messages, AnUnknownStateOfAGpuIsRefused) {
  Health health = some_health();
  health.state = static_cast<GpuState>(3);
  EXPECT_THROW(decode<Health>(encoded(health)), Error);
}

TEST(Messages, WhatIsToldOfGpusComesBack) {
  Supervise supervise;
  supervise.gpu_uuid = "GPU-1";
  supervise.max_gpu_temperature_c = 85;
  supervise.health_interval_s = 0.5;
  const Supervise watched = round_trip(supervise);
  EXPECT_EQ(watched.gpu_uuid, "GPU-1");
  EXPECT_EQ(watched.max_gpu_temperature_c, 85);
  EXPECT_EQ(watched.health_interval_s, 0.5);
  Join join;
  join.gpu_memory = {{"GPU-1", 5, 9}};
  join.gpu_memory_note = "NVML did not answer";
  const Join joined = round_trip(join);
  ASSERT_EQ(joined.gpu_memory.size(), 1u);
  EXPECT_EQ(joined.gpu_memory[0].uuid, "GPU-1");
  EXPECT_EQ(joined.gpu_memory[0].used_bytes, 5u);
  EXPECT_EQ(joined.gpu_memory[0].total_bytes, 9u);
  EXPECT_EQ(joined.gpu_memory_note, "NVML did not answer");
}

TEST(Messages, UnknownColumnTypeIsRefused) {
  Opened opened;
  opened.columns = {{"x", static_cast<DType>(99), Layout::fixed, {}}};
  EXPECT_THROW(decode<Opened>(encoded(opened)), Error);
  opened.columns = {{"x", DType::uint8, static_cast<Layout>(3), {}}};
  EXPECT_THROW(decode<Opened>(encoded(opened)), Error);
}

TEST(Messages, DamagedBytesNeverCrash) {
  const Buffer whole = encoded(some_grant());
  std::mt19937 random(1);
  std::size_t refused = 0;
  for (int trial = 0; trial < 5000; ++trial) {
    Buffer damaged = whole;
    for (int change = 0; change < 3; ++change) damaged[random() % damaged.size()] = static_cast<std::byte>(random());
    try {
      decode<Grant>(damaged);
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 0u); // lengths were hit at least sometimes
}

} // namespace
} // namespace mgpu::wire
