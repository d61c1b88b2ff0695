#include "common/support/faults.hpp"

#include <gmock/gmock.h>
#include <signal.h>

#include <new>

#include "mgpu/error.hpp"

namespace mgpu {
namespace {

TEST(Faults, ConcernTheRankTheyName) {
  EXPECT_TRUE(Faults("kill:rank=2,item=17", 2).any("kill"));
  EXPECT_FALSE(Faults("kill:rank=2,item=17", 1).any("kill"));
  EXPECT_TRUE(Faults("kill:item=17", 1).any("kill"));
  EXPECT_FALSE(Faults("", 0).any("kill"));
}

TEST(Faults, StrikeWhereTheyAreAsked) {
  Faults faults("segv:item=9; kill:batch=3; abort:item=4,times=1", 0);
  faults.before_item(8, 1);
  faults.before_batch(2, 1);
  faults.before_item(4, 2);
  EXPECT_DEATH(faults.before_item(9, 5), ""); // by SIGSEGV, or by the sanitizer that caught it
  EXPECT_EXIT(faults.before_batch(3, 1), testing::KilledBySignal(SIGKILL), "");
  EXPECT_EXIT(faults.before_item(4, 1), testing::KilledBySignal(SIGABRT), "");
}

TEST(Faults, MemoryRunsOutOnceOrAboveASize) {
  Faults once("oom:batch=3", 0), above("oom:above=20", 0);
  EXPECT_NO_THROW(once.before_rows_of_batch(2, 64));
  EXPECT_THROW(once.before_rows_of_batch(3, 64), std::bad_alloc);
  EXPECT_NO_THROW(once.before_rows_of_batch(3, 32));
  for (int time = 0; time < 3; ++time) EXPECT_THROW(above.before_rows_of_batch(0, 21), std::bad_alloc);
  EXPECT_NO_THROW(above.before_rows_of_batch(0, 20));
}

TEST(Faults, SpoilResultsAndDevices) {
  const Faults faults("nan:item=5; gpu-lost:batch=7; enospc:after=1MB", 0);
  EXPECT_TRUE(faults.spoils_item(5));
  EXPECT_FALSE(faults.spoils_item(6));
  EXPECT_FALSE(faults.spoils_step(5));
  EXPECT_THROW(faults.before_batch(7, 1), Error);
  EXPECT_EQ(faults.disk_full_after(), 1'000'000U);
}

TEST(Faults, NonsenseIsRefusedInOneLine) {
  for (const char* text : {"explode:item=3", "kill:item=x", "kill:where=3", "kill:item", "enospc", "kill:item=-4"}) {
    try {
      Faults(text, 0);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_THAT(error.what(), testing::HasSubstr("--fault"));
    }
  }
}

} // namespace
} // namespace mgpu
