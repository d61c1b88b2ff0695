#include "agent/supervisor/bad_devices.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace mgpu::agent {
namespace {

using testing::IsEmpty;

class BadDevicesTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  std::string path_ = testing::TempDir() + "mgpu_bad_devices_" + std::to_string(getpid());
  BadDevices list_{path_};
};

TEST_F(BadDevicesTest, AreRememberedUntilTheirTimeIsOver) {
  EXPECT_THAT(list_.read(0), IsEmpty());
  EXPECT_TRUE(list_.add({"GPU-a", "CUDA error: an illegal\naddress", 100}, 50));
  EXPECT_TRUE(list_.add({"GPU-b", "fell off the bus", 200}, 50));
  const auto both = list_.read(99);
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0].uuid, "GPU-a");
  EXPECT_EQ(both[0].reason, "CUDA error: an illegal address");
  ASSERT_EQ(list_.read(150).size(), 1U);
  EXPECT_EQ(list_.read(150)[0].uuid, "GPU-b");
}

TEST_F(BadDevicesTest, AreListedOnce) {
  list_.add({"GPU-a", "first", 100}, 50);
  list_.add({"GPU-a", "again", 300}, 60);
  ASSERT_EQ(list_.read(60).size(), 1U);
  EXPECT_EQ(list_.read(60)[0].reason, "again");
}

TEST_F(BadDevicesTest, ADamagedListHarmsNobody) {
  std::ofstream(path_) << "nonsense\n\n12 GPU-a\nx GPU-b reason\n900 GPU-c lost\n";
  ASSERT_EQ(list_.read(0).size(), 1U);
  EXPECT_EQ(list_.read(0)[0].uuid, "GPU-c");
}

TEST_F(BadDevicesTest, ALinkIsNotFollowed) {
  const std::string other = path_ + ".other";
  std::ofstream(other) << "900 GPU-c lost\n";
  std::filesystem::create_symlink(other, path_);
  EXPECT_THAT(list_.read(0), IsEmpty());
  std::filesystem::remove(other);
}

} // namespace
} // namespace mgpu::agent
