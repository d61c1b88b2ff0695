#include "agent/write/journal/history.hpp"
#include "common/wire/training_messages.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

namespace mgpu::agent::write {
namespace {

using testing::ElementsAre;
using Reals = std::vector<double>;
using Numbers = std::vector<std::uint64_t>;

class HistoryTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static void add_steps(History& history, std::uint64_t first, std::uint64_t last, double loss) {
    for (std::uint64_t step = first; step <= last; ++step)
      history.add(wire::Step{.step = step, .epoch = 1, .samples = 8, .loss = loss, .lr = 0.1, .seconds = 0.5});
  }
  template <typename T>
  static T values(const History& history, const std::string& name) {
    for (const Series& series : history.series())
      if (series.name == name) return std::get<T>(series.values);
    ADD_FAILURE() << "no " << name;
    return {};
  }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / "mgpu_history_test";
  std::string path_ = folder_ / "out.h5.training";
};

TEST_F(HistoryTest, KeepsStepsAndValidations) {
  History history = History::create(path_);
  add_steps(history, 1, 2, 0.5);
  history.add(wire::Metrics{.step = 2, .epoch = 1, .best = 1, .values = {{"loss", 0.4}}});
  add_steps(history, 3, 3, 0.25);
  history.add(wire::Metrics{.step = 3, .epoch = 1, .values = {{"loss", 0.3}, {"accuracy", 0.9}}});
  EXPECT_THAT(values<Reals>(history, "loss"), ElementsAre(0.5, 0.5, 0.25));
  EXPECT_THAT(values<Reals>(history, "samples_per_s"), ElementsAre(16, 16, 16));
  EXPECT_THAT(values<Numbers>(history, "validation_step"), ElementsAre(2, 3));
  EXPECT_THAT(values<Reals>(history, "validation_loss"), ElementsAre(0.4, 0.3));
  EXPECT_THAT(values<Reals>(history, "validation_accuracy"), ElementsAre(testing::IsNan(), 0.9));
  EXPECT_EQ(history.validations(2), 1U);
  EXPECT_EQ(history.last_step(), 3U);
}

TEST_F(HistoryTest, GoesOnBehindACheckpoint) {
  {
    History history = History::create(path_);
    add_steps(history, 1, 4, 1);
    history.add(wire::Metrics{.step = 4, .values = {{"loss", 1.5}}});
    add_steps(history, 5, 6, 2);
    history.add(wire::Metrics{.step = 6, .values = {{"loss", 2.5}}});
  }
  History history = History::resume(path_, 4, 1);
  add_steps(history, 5, 5, 3);
  EXPECT_THAT(values<Reals>(history, "loss"), ElementsAre(1, 1, 1, 1, 3));
  EXPECT_THAT(values<Reals>(history, "validation_loss"), ElementsAre(1.5));
}

TEST_F(HistoryTest, ATornEndIsLeftOut) {
  {
    History history = History::create(path_);
    add_steps(history, 1, 3, 1);
  }
  const auto size = std::filesystem::file_size(path_);
  std::filesystem::resize_file(path_, size - 5);
  EXPECT_THAT(values<Numbers>(History::resume(path_, 100, 0), "step"), ElementsAre(1, 2));
  std::fstream(path_, std::ios::in | std::ios::out).seekp(20) << 'x'; // within the first record
  EXPECT_THAT(values<Numbers>(History::resume(path_, 100, 0), "step"), ElementsAre());
}

TEST_F(HistoryTest, BeginsAnewWhereThereIsNone) {
  EXPECT_EQ(History::resume(path_, 5, 1).steps(), 0U);
}

} // namespace
} // namespace mgpu::agent::write
