#include "mgpu/training_job.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

namespace mgpu {
namespace {

using testing::HasSubstr;

class TestJob final : public TrainingJob {
 public:
  std::string summary() const override { return "for tests"; }
  std::string examples() const override { return ""; }
};

class TrainingJobTest : public testing::Test {
 protected:
  void SetUp() override { std::ofstream(model_) << "a network"; }
  void TearDown() override { std::filesystem::remove(model_); }

  /// The defaults, and `name` = `value`.
  std::string refusal(const std::string& name = "seed", const nlohmann::json& value = 0) const {
    return refusal({{name, value}});
  }
  std::string refusal(const std::map<std::string, nlohmann::json>& values) const {
    Config config({{"model", model_}, {"ship", "paths"}});
    for (const OptionSpec& option : TestJob().options()) config.set(option.name, option.default_value);
    config.set("image-size", "8");
    for (const auto& [name, value] : values) config.set(name, value);
    try {
      TestJob().check(config);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      return error.what();
    }
    return "";
  }
  std::string model_ = std::filesystem::temp_directory_path() / "mgpu_training_job_test.pt";
};

TEST_F(TrainingJobTest, OptionsAreDeclaredOnceAndPassTheirOwnCheck) {
  std::set<std::string> names;
  for (const OptionSpec& option : TestJob().options()) EXPECT_TRUE(names.insert(option.name).second) << option.name;
  EXPECT_FALSE(names.contains("decode")) << "its pictures are decoded on the CPU";
  EXPECT_TRUE(TestJob().trains());
  EXPECT_EQ(refusal(), "");
}

TEST_F(TrainingJobTest, WhatNoTrainingCanHaveIsRefused) {
  for (const char* right : {"0", "1e", "0.5e", "500"}) EXPECT_EQ(refusal("warmup", right), "");
  for (const char* wrong : {"", "e", "1.5", "-1e", "5 epochs"})
    EXPECT_THAT(refusal("warmup", wrong), HasSubstr("--warmup")) << wrong;
  EXPECT_EQ(refusal("augment", "crop,flip"), "");
  EXPECT_THAT(refusal("augment", "crop,spin"), HasSubstr("--augment spin: for pictures there are crop, flip, colour"));
  EXPECT_EQ(refusal("cache", "512"), "");
  EXPECT_THAT(refusal("cache", "512MB"), HasSubstr("--cache"));
  EXPECT_THAT(refusal("label-smoothing", 1.0), HasSubstr("--label-smoothing"));
  EXPECT_THAT(refusal("epochs", 0), HasSubstr("nothing to train"));
  EXPECT_THAT(refusal("ship", "bytes"), HasSubstr("--ship"));
  EXPECT_THAT(refusal("reduce-timeout", 0.0), HasSubstr("every wait has an end"));
}

TEST_F(TrainingJobTest, WhatCannotBeRecordedIsRefused) {
  EXPECT_EQ(refusal("cuda-graph", true), "");
  EXPECT_THAT(refusal({{"cuda-graph", true}, {"loss", "ctc"}}), HasSubstr("--cuda-graph: --loss ctc cannot be recorded"));
  EXPECT_THAT(refusal({{"cuda-graph", true}, {"find-unused-parameters", true}}), HasSubstr("--find-unused-parameters"));
}

} // namespace
} // namespace mgpu
