#include "agent/items/shipper.hpp"
#include "common/wire/items_messages.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace mgpu::agent {
namespace {

class ShipperTest : public testing::Test {
 protected:
  ShipperTest() : folder_(std::filesystem::temp_directory_path() / ("shipper_test_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
    for (int i = 0; i < 8; ++i) std::ofstream(path(i)) << std::string(1000, static_cast<char>('a' + i));
  }
  ~ShipperTest() override { std::filesystem::remove_all(folder_); }
  std::string path(int i) const { return (folder_ / std::to_string(i)).string(); }
  wire::BatchRange range(std::uint64_t batch, const std::vector<std::string>& paths) const {
    wire::BatchRange range;
    range.batch = batch;
    for (const std::string& each : paths) range.items.emplace_back().path = each;
    return range;
  }
  /// Waits for `count` ranges.
  static std::vector<Shipper::Ready> take(Shipper& shipper, std::size_t count) {
    std::vector<Shipper::Ready> all;
    for (int round = 0; round < 5000 && all.size() < count; ++round) {
      for (Shipper::Ready& each : shipper.take()) all.push_back(std::move(each));
      if (all.size() < count) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return all;
  }
  std::filesystem::path folder_;
};

TEST_F(ShipperTest, ReadsFilesAndLeavesTheRestToTheWorker) {
  const std::string fifo = (folder_ / "fifo").string();
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  Shipper shipper(2, 1000, 1 << 20);
  std::ofstream((folder_ / "large").string()) << std::string(1001, 'x');
  shipper.add(1, range(5, {path(0), fifo, folder_.string(), path(99), (folder_ / "large").string(), path(1)}));
  const auto ready = take(shipper, 1);
  ASSERT_EQ(ready.size(), 1U);
  EXPECT_EQ(ready[0].rank, 1);
  const std::vector<Item>& items = ready[0].range.items;
  EXPECT_EQ(items[0].content, std::string(1000, 'a'));
  EXPECT_TRUE(items[0].shipped && items[5].shipped);
  for (int row = 1; row < 5; ++row)
    EXPECT_TRUE(!items[static_cast<std::size_t>(row)].shipped && items[static_cast<std::size_t>(row)].content.empty());
}

TEST_F(ShipperTest, HoldsNoMoreThanItsBudget) {
  Shipper shipper(2, 1000, 2500);
  for (int batch = 0; batch < 8; ++batch) shipper.add(batch % 2, range(static_cast<std::uint64_t>(batch), {path(batch)}));
  std::size_t taken = take(shipper, 3).size();
  EXPECT_EQ(taken, 3U) << "the one that crosses it is the last";
  EXPECT_TRUE(shipper.take().empty());
  EXPECT_EQ(shipper.bytes_under_way(), 3000U);
  for (int batch = 0; batch < 8; ++batch) {
    shipper.answered(batch % 2, static_cast<std::uint64_t>(batch));
    shipper.answered(batch % 2, static_cast<std::uint64_t>(batch)); // twice counts once
    EXPECT_LE(shipper.bytes_under_way(), 3000U);
    if (taken < 8) taken += take(shipper, 1).size();
  }
  EXPECT_EQ(taken, 8U);
  EXPECT_EQ(shipper.bytes_under_way(), 0U);
}

TEST_F(ShipperTest, WhatWasOnItsWayToADeadWorkerIsForgotten) {
  Shipper shipper(2, 1000, 1500);
  for (int batch = 0; batch < 4; ++batch) shipper.add(0, range(static_cast<std::uint64_t>(batch), {path(batch)}));
  shipper.add(1, range(7, {path(7)}));
  EXPECT_EQ(take(shipper, 2).size(), 2U);
  shipper.forget(0);
  const auto ready = take(shipper, 1);
  ASSERT_EQ(ready.size(), 1U);
  EXPECT_EQ(ready[0].range.batch, 7U);
  shipper.add(0, range(1, {path(1)})); // to its next worker
  EXPECT_EQ(take(shipper, 1).size(), 1U);
}

} // namespace
} // namespace mgpu::agent
