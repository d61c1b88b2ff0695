#include "agent/supervisor/worker_state.hpp"

#include <gtest/gtest.h>

namespace mgpu::agent {
namespace {

using enum WorkerEvent;

constexpr WorkerEvent all_events[] = {configure, opened, failure, halt, late, finish, replaced, give_up, dismiss};

WorkerState after(std::initializer_list<WorkerEvent> events) {
  auto state = WorkerState::starting;
  for (const WorkerEvent event : events) state = next(state, event);
  return state;
}

TEST(WorkerState, AWholeLife) {
  EXPECT_EQ(after({}), WorkerState::starting);
  EXPECT_EQ(after({configure}), WorkerState::opening);
  EXPECT_EQ(after({configure, opened}), WorkerState::working);
  EXPECT_EQ(after({configure, opened, opened, finish}), WorkerState::finishing);
}

TEST(WorkerState, TheNextOneBeginsAnew) {
  for (const WorkerEvent end : {failure, halt, late}) {
    EXPECT_EQ(after({configure, opened, end, replaced}), WorkerState::starting);
    EXPECT_EQ(after({configure, opened, end, give_up}), WorkerState::given_up);
  }
}

TEST(WorkerState, NothingIsAskedOfOneWithoutConfiguration) {
  for (const WorkerEvent event : {opened, failure, halt, late}) EXPECT_EQ(after({event}), WorkerState::starting);
  EXPECT_FALSE(is_watched(WorkerState::starting));
}

TEST(WorkerState, OneThatIsToEndIsNoLongerAtWork) {
  EXPECT_EQ(after({configure, halt, opened}), WorkerState::halting);
  EXPECT_EQ(after({configure, opened, failure, opened}), WorkerState::failing);
  EXPECT_EQ(after({configure, opened, failure, halt}), WorkerState::halting);
  EXPECT_EQ(after({configure, opened, late, halt}), WorkerState::killed);
  for (const WorkerEvent event : {failure, halt, late}) EXPECT_TRUE(is_watched(after({configure, opened, event})));
}

TEST(WorkerState, AfterTheWorkNothingBringsAnother) {
  for (const WorkerEvent before : {configure, opened, failure, halt, late})
    for (const WorkerEvent event : {configure, opened, failure, halt, late, replaced})
      EXPECT_EQ(after({configure, before, finish, event}), WorkerState::finishing);
  EXPECT_FALSE(is_watched(WorkerState::finishing));
}

TEST(WorkerState, AnEndIsForEver) {
  for (const WorkerEvent event : all_events) {
    EXPECT_EQ(next(WorkerState::given_up, event), WorkerState::given_up);
    EXPECT_EQ(next(WorkerState::dismissed, event), WorkerState::dismissed);
  }
}

} // namespace
} // namespace mgpu::agent
