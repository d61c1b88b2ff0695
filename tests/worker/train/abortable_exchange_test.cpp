#include "worker/train/abortable_exchange.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mgpu/error.hpp"
#include "rig.hpp"

namespace mgpu::worker::train {
namespace {

using ::testing::ElementsAre;

/// Opens exchanges and notes what becomes of them.
struct Opened {
  std::vector<std::string> events;
  AbortableExchange exchange{[this](const collective::FlatLayout& layout, std::size_t stage) {
    events.push_back("open " + std::to_string(stage));
    return std::make_unique<Noted>(layout.elements, events);
  }};

  class Noted final : public NotingExchange {
   public:
    Noted(std::size_t elements, std::vector<std::string>& events) : NotingExchange(elements), events_(events) {}
    ~Noted() override { events_.emplace_back("closed"); }
    void abort(std::string_view reason) override { events_.push_back("abort: " + std::string(reason)); }

   private:
    std::vector<std::string>& events_;
  };
};

TEST(AbortableExchange, ForwardsAnAbortToTheStageUnderWay) {
  Opened opened;
  opened.exchange.open({}, 2);
  opened.exchange.abort("rank 1 is lost");
  EXPECT_THAT(opened.events, ElementsAre("open 2", "abort: rank 1 is lost"));
}

TEST(AbortableExchange, IsNotOpenedAfterAnAbort) {
  Opened opened;
  opened.exchange.open({}, 0);
  opened.exchange.close();
  opened.exchange.abort("rank 1 is lost"); // between stages
  try {
    opened.exchange.open({}, 1);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "rank 1 is lost");
  }
  EXPECT_THAT(opened.events, ElementsAre("open 0", "closed", "open 1", "closed"));
}

} // namespace
} // namespace mgpu::worker::train
