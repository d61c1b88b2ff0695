#include "common/wire/ring.hpp"
#include "common/wire/control_messages.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <random>
#include <thread>
#include <vector>

namespace mgpu::wire {
namespace {

using std::chrono::milliseconds;

TEST(Ring, HandsOutAlignedRangesThatDoNotOverlap) {
  RingAllocator ring(4096);
  const auto a = ring.allocate(100, milliseconds(0));
  const auto b = ring.allocate(64, milliseconds(0));
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->offset % 64, 0U);
  EXPECT_EQ(a->size, 128U);
  EXPECT_GE(b->offset, a->offset + a->size);
}

TEST(Ring, RefusesWhatNeverFitsAndWhatDoesNotFitInTime) {
  RingAllocator ring(1024);
  EXPECT_FALSE(ring.allocate(2048, milliseconds(0)));
  ASSERT_TRUE(ring.allocate(1024, milliseconds(0)));
  EXPECT_FALSE(ring.allocate(64, milliseconds(1)));
}

TEST(Ring, WaitsForARelease) {
  RingAllocator ring(1024);
  const auto all = ring.allocate(1024, milliseconds(0));
  ASSERT_TRUE(all);
  std::thread other([&] { ring.release(*all); });
  EXPECT_TRUE(ring.allocate(64, milliseconds(5000)));
  other.join();
}

TEST(Ring, NeverOverlapsUnderRandomUse) {
  RingAllocator ring(1 << 14);
  std::mt19937 random(7);
  std::vector<SharedRange> held;
  for (int round = 0; round < 20000; ++round) {
    if (!held.empty() && random() % 2 == 0) {
      const std::size_t which = random() % held.size();
      ring.release(held[which]);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
    } else if (const auto range = ring.allocate(random() % 3000 + 1, milliseconds(0))) {
      ASSERT_LE(range->offset + range->size, ring.size());
      for (const SharedRange& other : held)
        ASSERT_TRUE(range->offset + range->size <= other.offset || other.offset + other.size <= range->offset);
      held.push_back(*range);
    }
  }
  for (const SharedRange& range : held) ring.release(range);
  EXPECT_TRUE(ring.allocate(1 << 14, milliseconds(0))) << "everything was released";
}

TEST(SharedMemory, IsSeenThroughBothMappings) {
  const SharedMemory one = SharedMemory::create(8192);
  const SharedMemory two = SharedMemory::map(dup(one.fd()));
  one.data()[5000] = std::byte{42};
  EXPECT_EQ(two.data()[5000], std::byte{42});
  EXPECT_EQ(two.size(), 8192U);
}

} // namespace
} // namespace mgpu::wire
