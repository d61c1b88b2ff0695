#include "worker/batch/trace_events.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace mgpu::worker {
namespace {

TEST(TraceEvents, PiecesJoinedByCommasAreOneJsonList) {
  std::vector<std::string> pieces;
  TraceEvents trace(true, 3, [&](std::string_view piece) { pieces.emplace_back(piece); });
  trace.name_thread(1, "run");
  const auto now = TraceEvents::Clock::now();
  for (std::uint64_t batch = 0; batch < 2000; ++batch) trace.span("run", 1, batch, now, now + std::chrono::microseconds(250));
  trace.flush();
  ASSERT_GT(pieces.size(), 1u);
  std::string all = "[";
  for (const std::string& piece : pieces) all += (all.size() > 1 ? "," : "") + piece;
  const auto events = nlohmann::json::parse(all + "]");
  ASSERT_EQ(events.size(), 2002u); // process and thread names first
  EXPECT_EQ(events[2]["ph"], "X");
  EXPECT_EQ(events[2]["pid"], 3);
  EXPECT_EQ(events[2]["dur"], 250);
  const auto wall =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_NEAR(events[2]["ts"].get<double>(), static_cast<double>(wall), 60e6);
}

TEST(TraceEvents, CollectsNothingUnlessAsked) {
  TraceEvents trace(false, 0, [](std::string_view) { FAIL(); });
  trace.span("run", 1, 0, TraceEvents::Clock::now(), TraceEvents::Clock::now());
  trace.flush();
  EXPECT_FALSE(trace.enabled());
}

} // namespace
} // namespace mgpu::worker
