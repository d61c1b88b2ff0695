#include "agent/setup/labels.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

namespace mgpu::agent {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class LabelsTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  LabelledSet table(const std::vector<std::string>& labels, const std::string& column = "label") const {
    const std::string path = folder_ / "set.csv";
    std::ofstream file(path);
    file << "path," << column << "\n";
    for (std::size_t row = 0; row < labels.size(); ++row) file << "img" << row << ".png,\"" << labels[row] << "\"\n";
    file.close();
    LabelledSet set{"--input set.csv", manifest::Manifest::read(path), {}};
    read_labels(set, path, "label", true);
    return set;
  }
  void picture(const std::string& path) const {
    fs::create_directories((folder_ / path).parent_path());
    std::ofstream(folder_ / path) << "x";
  }
  LabelledSet pictures() const {
    LabelledSet set{"--input pictures", manifest::Manifest::read(folder_, {.media = Media::images}), {}};
    read_labels(set, folder_, "label", true);
    return set;
  }
  template <typename Call>
  static std::string refusal(const Call& call) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "one line";
      return error.what();
    }
    return "nothing was refused";
  }

  fs::path folder_ = fs::temp_directory_path() / "mgpu_labels_test";
};

TEST_F(LabelsTest, ClassesAreTheSortedLabels) {
  EXPECT_THAT(find_classes(table({"dog", "cat", "dog"}), "cross_entropy"), ElementsAre("cat", "dog"));
  EXPECT_THAT(find_classes(table({"10", "2", "0"}), "cross_entropy"),
              ElementsAre("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"));
  EXPECT_THAT(find_classes(table({"b; a", "", "c"}), "bce"), ElementsAre("a", "b", "c"));
}

TEST_F(LabelsTest, FoldersAreClasses) {
  picture("cat/1.png");
  picture("dog/deep/2.png");
  EXPECT_THAT(find_classes(pictures(), "cross_entropy"), ElementsAre("cat", "dog"));
  fs::create_directories(folder_ / "eel");
  EXPECT_THAT(refusal([&] { pictures(); }), AllOf(HasSubstr("eel"), HasSubstr("empty")));
  fs::remove(folder_ / "eel");
  picture("stray.png");
  EXPECT_THAT(refusal([&] { pictures(); }), AllOf(HasSubstr("stray.png"), HasSubstr("no class folder")));
}

TEST_F(LabelsTest, AWrongOneIsNamedWithItsRowAndTheClasses) {
  const Bundle bundle;
  EXPECT_THAT(
      refusal([&] {
        check_labels(table({"cat", "dgo"}), "cross_entropy", {"cat", "dog"}, bundle);
      }),
      AllOf(HasSubstr("--input set.csv, item 1"), HasSubstr("img1.png"), HasSubstr("'dgo'"), HasSubstr("cat, dog (2 classes)")));
  EXPECT_THAT(refusal([&] { check_labels(table({"2"}), "cross_entropy", {"cat", "dog"}, bundle); }), HasSubstr("'2'"));
  check_labels(table({"1", "cat"}), "cross_entropy", {"cat", "dog"}, bundle); // an index is a label, too
  EXPECT_THAT(refusal([&] { check_labels(table({""}), "cross_entropy", {"cat"}, bundle); }), HasSubstr("empty"));
  EXPECT_THAT(refusal([&] { check_labels(table({"cat;eel"}), "bce", {"cat", "dog"}, bundle); }), HasSubstr("'eel'"));
  EXPECT_THAT(refusal([&] { table({"a"}, "truth"); }), AllOf(HasSubstr("no column 'label'"), HasSubstr("it has truth")));
}

TEST_F(LabelsTest, NumbersMustBeNumbersAndEquallyMany) {
  const Bundle bundle;
  check_labels(table({"1.5; -2", "0;1e-3"}), "mse", {}, bundle);
  EXPECT_THAT(refusal([&] { check_labels(table({"1", "x"}), "mse", {}, bundle); }), AllOf(HasSubstr("item 1"), HasSubstr("'x'")));
  EXPECT_THAT(refusal([&] { check_labels(table({"1", "1;2"}), "mse", {}, bundle); }), HasSubstr("2 numbers, others 1"));
}

TEST_F(LabelsTest, TextsMustBeSpelledByTheVocabulary) {
  Bundle bundle;
  EXPECT_THAT(refusal([&] { check_labels(table({"on"}), "ctc", {}, bundle); }), HasSubstr("vocabulary"));
  bundle.ctc.emplace();
  bundle.ctc->vocabulary = {"_", "o", "ne", " "};
  bundle.ctc->blank = 0;
  check_labels(table({"one o", ""}), "ctc", {}, bundle);
  EXPECT_THAT(refusal([&] {
                check_labels(table({"one", "oné"}), "ctc", {}, bundle);
              }),
              AllOf(HasSubstr("item 1"), HasSubstr("'n'")));
  EXPECT_THAT(refusal([&] { check_labels(table({"o_"}), "ctc", {}, bundle); }), HasSubstr("'_'"));
}

} // namespace
} // namespace mgpu::agent
