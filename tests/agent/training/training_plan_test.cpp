#include "agent/training/training_plan.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "agent/cli/options.hpp"
#include "mgpu/training_job.hpp"

namespace mgpu::agent {
namespace {

using testing::HasSubstr;

class TestJob final : public TrainingJob {
 public:
  std::string summary() const override { return "for tests"; }
  std::string examples() const override { return ""; }
};

class TrainingPlanTest : public testing::Test {
 protected:
  void SetUp() override {
    std::ofstream file(list_);
    for (int item = 0; item < 1000; ++item) file << "img" << item << ".png\n";
  }
  void TearDown() override { std::filesystem::remove(list_); }

  RunSetup setup(const std::vector<std::string>& words) const {
    RunSetup setup;
    setup.config = resolve_training(cli::resolve("mgpu_run", "train", TestJob(), words).config);
    setup.config.set("stages", nlohmann::json::array());
    const auto batch = setup.config.get<std::string>("batch-size");
    setup.batch_size = batch == "auto" ? 0 : static_cast<std::uint32_t>(std::stoul(batch));
    setup.manifest = manifest::Manifest::read(list_);
    setup.training.emplace();
    return setup;
  }
  TrainingPlan plan(const std::vector<std::string>& words, int ranks, bool gpu = false) const {
    const RunSetup made = setup(words);
    Config config = made.config;
    return plan_training(made, ranks, gpu, config);
  }
  std::string refusal(const std::vector<std::string>& words, int ranks) const {
    try {
      plan(words, ranks);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      return error.what();
    }
    return "nothing was refused";
  }

  std::string list_ = std::filesystem::temp_directory_path() / "mgpu_training_plan_test.txt";
};

TEST_F(TrainingPlanTest, TheGlobalBatchIsRanksTimesBatchTimesAccumulation) {
  const TrainingPlan of = plan({"--batch-size", "16", "--accumulate", "3", "--lr-scaling", "linear"}, 4);
  EXPECT_EQ(of.global_batch, 192);
  EXPECT_EQ(of.steps_an_epoch, 6U) << "the last one is smaller";
  EXPECT_DOUBLE_EQ(of.lr_factor, 12);
  EXPECT_EQ(plan({}, 2).global_batch, 64);
  EXPECT_EQ(plan({}, 2, true).global_batch, 128);
  EXPECT_TRUE(plan({}, 2, true).batch_found);
  EXPECT_DOUBLE_EQ(plan({"--batch-size", "8", "--lr-scaling", "sqrt", "--lr-reference-batch", "4"}, 2).lr_factor, 2);
}

TEST_F(TrainingPlanTest, AFixedGlobalBatchIsSharedOut) {
  EXPECT_EQ(plan({"--global-batch", "96"}, 2).batch_size, 32);
  EXPECT_EQ(plan({"--global-batch", "16"}, 2).batch_size, 8) << "no more than a rank's share";
  EXPECT_EQ(plan({"--global-batch", "96", "--accumulate", "4"}, 2).batch_size, 12);
  EXPECT_EQ(plan({"--global-batch", "100"}, 6).batch_size, 17) << "shares of 16 and 17";
  EXPECT_THAT(refusal({"--global-batch", "2"}, 3), HasSubstr("less than a sample for each of 3 rank(s)"));
  EXPECT_THAT(refusal({"--global-batch", "96", "--accumulate", "2", "--batch-size", "16"}, 2), HasSubstr("= 64"));
}

TEST_F(TrainingPlanTest, ATrainingThatGoesOnKeepsItsGlobalBatch) {
  RunSetup made = setup({"--lr-scaling", "linear"});
  made.training->begin =
      Checkpoint{"step-1", 1, {{"global_batch", 64}, {"batch_size", 32}, {"lr_reference", 32}, {"world_size", 2}}};
  Config config = made.config;
  const TrainingPlan on_three = plan_training(made, 3, false, config);
  EXPECT_EQ(on_three.global_batch, 64);
  EXPECT_EQ(config.get<std::int64_t>("global-batch"), 64) << "the workers are told";
  EXPECT_EQ(on_three.batch_size, 22) << "a rank's share";
  EXPECT_DOUBLE_EQ(on_three.lr_factor, 2);
}

TEST_F(TrainingPlanTest, AQuickTestIsShort) {
  const RunSetup made = setup({"--quick-test", "--batch-size", "8"});
  Config config = made.config;
  const TrainingPlan of = plan_training(made, 2, false, config);
  EXPECT_EQ(of.steps_an_epoch, 3U);
  EXPECT_EQ(of.epochs, 2U);
  const nlohmann::json& stage = config.json().at("stages").at(0);
  EXPECT_EQ(stage.at("epochs"), 2);
  EXPECT_DOUBLE_EQ(stage.at("subset").get<double>() * 1000, 48);
}

TEST_F(TrainingPlanTest, MoreRanksThanItemsAreRefused) {
  EXPECT_THAT(refusal({}, 1001), HasSubstr("1000 item(s) for 1001 ranks"));
}

TEST_F(TrainingPlanTest, TheRateFollowsTheOptimizer) {
  EXPECT_DOUBLE_EQ(setup({}).config.get<double>("lr"), 0.1);
  EXPECT_DOUBLE_EQ(setup({"--optimizer", "adamw"}).config.get<double>("lr"), 0.001);
  EXPECT_DOUBLE_EQ(setup({"--optimizer", "adamw", "--lr", "0.5"}).config.get<double>("lr"), 0.5);
  EXPECT_TRUE(setup({"--output", "/tmp/x.h5"}).config.get<std::string>("checkpoint-dir") == "/tmp/x.h5.checkpoints");
}

} // namespace
} // namespace mgpu::agent
