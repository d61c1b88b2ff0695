#include "agent/cli/stages.hpp"

#include <gmock/gmock.h>

namespace mgpu::agent::cli {
namespace {

using testing::HasSubstr;

Config config(const std::string& stages = "") {
  return Config({{"stages", stages}, {"epochs", 10}, {"lr", 0.1}});
}

std::string refusal(const std::string& text) {
  try {
    parse_stages(text, "s.toml", config());
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "one line";
    return error.what();
  }
  return "nothing was refused";
}

TEST(Stages, AreReadInOrder) {
  const auto stages = parse_stages(R"(# two
[[stage]]
name = "head"
epochs = 2
freeze = ["layer1", "layer2."]

[[stage]]
lr = 0.01
subset = 0.5
batch_size = 16
augment_strength = 0.25
)",
                                   "s.toml", config());
  const auto expected = nlohmann::json::parse(R"([
    {"name": "head", "epochs": 2, "lr": 0.1, "freeze": ["layer1", "layer2."]},
    {"epochs": 10, "lr": 0.01, "subset": 0.5, "batch_size": 16, "augment_strength": 0.25}])");
  EXPECT_EQ(stages, expected);
}

TEST(Stages, OfOneKeyEach) {
  const auto stages = parse_stages("[[stage]]\nepochs = 1\n[[stage]]\nepochs = 1\n[[stage]]\nepochs = 3\n", "s.toml", config());
  ASSERT_EQ(stages.size(), 3u);
  EXPECT_EQ(stages[2]["epochs"], 3);
}

TEST(Stages, WrongOnesAreRefusedByPlaceAndKey) {
  EXPECT_THAT(refusal("[[stage]]\nepochs = 1\n[[stage]]\nepoch = 2\n"), HasSubstr("stage 2: there is no key 'epoch'"));
  EXPECT_THAT(refusal("[[stage]]\nsubset = 1.5\n"), HasSubstr("stage 1: subset = 1.5"));
  EXPECT_THAT(refusal("[[stage]]\nepochs = 0\n"), HasSubstr("whole number"));
  EXPECT_THAT(refusal("[[stage]]\nlr = fast\n"), HasSubstr("lr = fast"));
  EXPECT_THAT(refusal("[[stage]]\nlr = 1\nname = \"x\"\nlr = 2\n"), HasSubstr("twice"));
  EXPECT_THAT(refusal("epochs = 3\n"), HasSubstr("outside of [[stage]]"));
  EXPECT_THAT(refusal("[stages]\nepochs = 3\n"), HasSubstr("outside of [[stage]]"));
  EXPECT_THAT(refusal(""), HasSubstr("no [[stage]]"));
}

TEST(Stages, PresetsShareTheEpochs) {
  for (const char* preset : {"gentle", "aggressive"}) {
    std::int64_t epochs = 0;
    for (const auto& stage : read_stages(config(preset))) epochs += stage["epochs"].get<std::int64_t>();
    EXPECT_EQ(epochs, 10) << preset;
  }
  EXPECT_TRUE(read_stages(config()).empty());
  EXPECT_THROW(read_stages(config("/nowhere.toml")), Error);
}

} // namespace
} // namespace mgpu::agent::cli
