#include "agent/cli/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace mgpu::agent::cli {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class TestJob final : public Job {
 public:
  std::string summary() const override { return "a job for tests"; }
  std::string examples() const override { return "  mgpu_run test --input x"; }
  std::vector<OptionSpec> options() const override {
    return {{"label-column", "", "column with the class", "NAME"}, {"topk", 0, "best classes", "K"}};
  }
};

Resolved resolve_words(const std::vector<std::string>& words) {
  return resolve("mgpu_run", "test", TestJob(), words);
}

std::string refusal(const std::vector<std::string>& words) {
  try {
    resolve_words(words);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "one line";
    return error.what();
  }
  return "nothing was refused";
}

/// A variable of the environment that is gone when the test is over.
struct Variable {
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }
  const char* name_;
};

struct TomlFile {
  explicit TomlFile(const std::string& text)
      : path((std::filesystem::temp_directory_path() / ("mgpu_options_test_" + std::to_string(getpid()) + ".toml")).string()) {
    std::ofstream(path) << text;
  }
  ~TomlFile() { std::filesystem::remove(path); }
  std::string path;
};

TEST(Options, DefaultsHaveTheirTypes) {
  const Config config = resolve_words({}).config;
  EXPECT_EQ(config.get<std::string>("schedule"), "dynamic");
  EXPECT_EQ(config.get<int>("retries"), 2);
  EXPECT_FALSE(config.get<bool>("resume"));
  EXPECT_DOUBLE_EQ(config.get<double>("start-timeout"), 60);
  EXPECT_EQ(config.get<int>("topk"), 0);
  EXPECT_THROW(config.get<int>("no-such"), Error);
  EXPECT_THROW(config.get<int>("schedule"), Error);
}

TEST(Options, FlagBeforeEnvironmentBeforeFileBeforeDefault) {
  const TomlFile file("threads = 7\nbatch_size = \"9\"\nretries = 5\n");
  const Variable threads("MGPU_THREADS", "6");
  const Variable batch("MGPU_BATCH_SIZE", "8");
  const Resolved resolved = resolve_words({"--config", file.path, "--threads", "4"});
  EXPECT_EQ(resolved.config.get<int>("threads"), 4);
  EXPECT_EQ(resolved.config.get<std::string>("batch-size"), "8");
  EXPECT_EQ(resolved.config.get<int>("retries"), 5);
  EXPECT_EQ(resolved.config.get<int>("loaders"), 0);
  const std::string table = describe(resolved);
  EXPECT_THAT(table, HasSubstr("(flag)"));
  EXPECT_THAT(table, HasSubstr("(environment MGPU_BATCH_SIZE)"));
  EXPECT_THAT(table, HasSubstr("(file " + file.path));
}

TEST(Options, UnderscoresAreDashes) {
  EXPECT_EQ(resolve_words({"--batch_size", "4"}).config.get<std::string>("batch-size"), "4");
  EXPECT_EQ(resolve_words({"--label_column=a_b"}).config.get<std::string>("label-column"), "a_b") << "values are left alone";
}

TEST(Options, TheLastOfTwoCounts) {
  EXPECT_EQ(resolve_words({"--threads", "1", "--threads", "2"}).config.get<int>("threads"), 2);
}

TEST(Options, UnknownOnesNameTheNearest) {
  EXPECT_THAT(refusal({"--batchsize", "4"}), HasSubstr("did you mean --batch-size?"));
  EXPECT_THAT(refusal({"--quality", "4"}), HasSubstr("there is no option --quality (see"));
  EXPECT_THAT(refusal({"photos"}), HasSubstr("does not take 'photos'"));
  const TomlFile file("thread = 7\n");
  EXPECT_THAT(refusal({"--config", file.path}), HasSubstr("did you mean --threads?"));
  EXPECT_THAT(refusal({"--config", "/no/such.toml"}), HasSubstr("cannot be read"));
}

TEST(Options, WrongValuesSayWhatIsWanted) {
  EXPECT_THAT(refusal({"--threads", "many"}), HasSubstr("a whole number"));
  EXPECT_THAT(refusal({"--threads", "-1"}), HasSubstr("a whole number, 0 or more"));
  EXPECT_THAT(refusal({"--threads", "1.5"}), HasSubstr("a whole number"));
  EXPECT_THAT(refusal({"--start-timeout", "soon"}), HasSubstr("a number"));
  EXPECT_THAT(refusal({"--schedule", "greedy"}), HasSubstr("dynamic, block, cyclic"));
  EXPECT_THAT(refusal({"--input"}), HasSubstr("--input"));
  const Variable resume("MGPU_RESUME", "perhaps");
  EXPECT_THAT(refusal({}), HasSubstr("true or false"));
}

TEST(Options, HelpNamesEveryOption) {
  try {
    resolve_words({"--help"});
    FAIL() << "help was not given";
  } catch (const HelpWanted& help) {
    for (const OptionSpec& option : common_options()) EXPECT_THAT(help.text, HasSubstr("--" + option.name));
    EXPECT_THAT(help.text, HasSubstr("--topk"));
    EXPECT_THAT(help.text, HasSubstr("mgpu_run test --input x"));
  }
}

} // namespace
} // namespace mgpu::agent::cli
