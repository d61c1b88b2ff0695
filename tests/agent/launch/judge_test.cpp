// What the end of a start means: leave, with which code, or start again.
#include <gtest/gtest.h>

#include "agent/launch/launch.hpp"

namespace mgpu::agent::launch {
namespace {

End done(int code, bool lost_machines = false) {
  End end;
  end.spoke = true;
  end.status.done = true;
  end.status.exit_code = code;
  end.status.lost_machines = lost_machines;
  return end;
}

End died(bool spoke, int mpirun_code) {
  End end;
  end.spoke = spoke;
  end.mpirun_code = mpirun_code;
  return end;
}

void expect(const Verdict& verdict, bool again, int code) {
  EXPECT_EQ(verdict.again, again);
  EXPECT_EQ(verdict.exit_code, code);
}

TEST(Judge, BelievesTheStatusNotMpirun) {
  for (const int code : {0, 1, 2, 3, 75})
    for (const int mpirun : {0, 1, 137}) {
      End end = done(code);
      end.mpirun_code = mpirun;
      expect(judge(end, 1, 3), false, code);
    }
}

TEST(Judge, StartsAgainAfterALostMachineAsOftenAsAllowed) {
  expect(judge(done(75, true), 1, 2), true, 75);
  expect(judge(done(75, true), 2, 2), true, 75);
  expect(judge(done(75, true), 3, 2), false, 75);
  expect(judge(done(0, true), 1, 2), false, 0); // a rank was lost, the work was done
  expect(judge(done(3, true), 1, 2), false, 3);
}

TEST(Judge, StartsAgainWhenRank0HadNoLastWord) {
  for (const int mpirun : {0, 1, 75, 137}) expect(judge(died(true, mpirun), 1, 1), true, 75);
  expect(judge(died(true, 0), 2, 1), false, 75);
}

TEST(Judge, DoesNotInsistOnWhatNeverCameUp) {
  expect(judge(died(false, 1), 1, 3), false, 1);
  expect(judge(died(false, 2), 1, 3), false, 2);
  expect(judge(died(false, 1), 2, 3), true, 1); // it did come up once
}

TEST(Judge, StartsAgainWhatDiedWhileItStarted) {
  expect(judge(died(false, 0), 1, 3), true, 1); // mpirun's 0 without a word of rank 0 is no success
  expect(judge(died(false, 0), 4, 3), false, 1);
  expect(judge(died(false, 137), 1, 3), true, 1);
  expect(judge(died(false, 75), 1, 3), true, 75); // a rank died while MPI started
}

TEST(Judge, WaitsForTheOutputThatTheStartBeforeMayStillHold) {
  expect(judge(done(2), 2, 3), true, 2);
}

TEST(Judge, ObeysASignal) {
  End end = died(true, 137);
  end.asked_to_stop = true;
  expect(judge(end, 1, 3), false, 75);
  end = done(0);
  end.asked_to_stop = true;
  expect(judge(end, 1, 3), false, 0); // it was done before the signal came
  end = died(false, 1);
  end.asked_to_stop = true;
  expect(judge(end, 1, 3), false, 75);
}

} // namespace
} // namespace mgpu::agent::launch
