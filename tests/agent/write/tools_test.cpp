#include "agent/write/tools/tools.hpp"

#include <gmock/gmock.h>
#include <hdf5.h>

#include <cmath>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "agent/write/samples.hpp"

namespace mgpu::agent::write::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class ToolsTest : public testing::Test {
 protected:
  void write(std::uint64_t items, bool complete = true) {
    const auto file = ResultFile::create(path_, some_manifest(folder_, items), some_header());
    file->set_columns(all_columns());
    const SampleBatch batch(all_columns(), 0, items - (complete ? 0 : 2));
    file->put(batch.result, 1);
    file->finish(some_footer(complete));
  }
  std::string inspected() const {
    std::ostringstream out;
    inspect(path_, out);
    return out.str();
  }
  std::string exported(std::string_view format, bool safe_csv = false) const {
    std::ostringstream out;
    export_rows(path_, format, safe_csv, out);
    return out.str();
  }
  static std::string refusal(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return error.what();
    }
    return "not refused";
  }

  Folder folder_;
  std::string path_ = folder_ / "out.h5";
};

TEST_F(ToolsTest, InspectShowsWhatAPersonWantsToKnow) {
  write(50);
  const std::string text = inspected();
  for (const char* part : {"mgpu/1", "job        infer", "complete   yes", "50: 45 ok, 5 failed, 0 pending", "5 items/s over 2 s",
                           "fixed_float16", "[50, 2, 3]", "boxes", "[n, 4] a row", "text                     string", "node1",
                           "not a picture: item 3", "5 items with NaN", "from the manifest: ", "export"})
    EXPECT_THAT(text, HasSubstr(part));
}

TEST_F(ToolsTest, InspectShowsTheCurvesOfATraining) {
  {
    const auto file = ResultFile::create(path_, some_manifest(folder_, 3), some_header());
    file->set_columns({});
    Footer footer = some_footer(false);
    footer.training = {{"loss", std::vector<double>{2.5, std::nan(""), 0.25}},
                       {"step", std::vector<std::uint64_t>{1, 2, 3}},
                       {"class", std::vector<std::string>{"cat", "dog"}}};
    file->finish(footer);
  }
  EXPECT_THAT(inspected(), testing::ContainsRegex("loss +3 +2.5 +0.25 +0.25 +2.5\n"));
  EXPECT_THAT(inspected(), testing::ContainsRegex("step +3 +1 +3 +1 +3\n"));
  EXPECT_THAT(inspected(), testing::Not(HasSubstr("results")));
}

TEST_F(ToolsTest, InspectSaysHowToGoOn) {
  write(20, false);
  EXPECT_THAT(inspected(), HasSubstr("complete   no"));
  EXPECT_THAT(inspected(), HasSubstr("2 pending"));
  EXPECT_THAT(inspected(), HasSubstr("--resume"));
}

TEST_F(ToolsTest, CsvQuotesAndKeepsBytes) {
  write(8);
  const std::string text = exported("csv");
  EXPECT_THAT(text, StartsWith("path,status,error,attempts,rank,seconds,"));
  EXPECT_THAT(text, HasSubstr("manifest.seconds"));
  EXPECT_THAT(text, HasSubstr("\r\n\"/new\nline \"\"quoted\"\" 1\",ok,,1,1,0.25,"));
  EXPECT_THAT(text, HasSubstr("\r\n/bytes\xff\xfe"
                              "3,failed,not a picture: item 3,"));
  EXPECT_THAT(text, HasSubstr("\"[[7,8,9],[10,11,12]]\"")) << "a small array";
}

TEST_F(ToolsTest, JsonLinesAreJson) {
  write(8);
  std::istringstream lines(exported("jsonl"));
  std::string line;
  std::vector<std::string> all;
  while (std::getline(lines, line)) all.push_back(line);
  ASSERT_EQ(all.size(), 8u);
  const auto row = nlohmann::json::parse(all[2]);
  EXPECT_EQ(row["path"], "/한국어 2");
  EXPECT_EQ(row["status"], "ok");
  EXPECT_EQ(row["label"], "label 2");
  EXPECT_EQ(row["fixed_int64"], nlohmann::json::parse("[[14,15,16],[17,18,19]]"));
  EXPECT_EQ(row["fixed_bool"], nlohmann::json::parse("[[false,true,false],[true,false,true]]"));
  EXPECT_EQ(row["boxes"].size(), 2u);
  EXPECT_EQ(row["codes"], nlohmann::json::parse("[14,15]"));
  EXPECT_EQ(row["text"], expected_text(2));
  EXPECT_EQ(row["scalar"], 14.0);
  EXPECT_THAT(all[3], HasSubstr("\"/bytes\\udcff\\udcfe3\""));
  EXPECT_THAT(all[3], HasSubstr("\"scalar\":NaN"));
}

TEST_F(ToolsTest, WhatIsNoResultFileIsRefusedInOneLine) {
  EXPECT_THAT(refusal([&] { inspected(); }), HasSubstr("no such file"));
  std::ofstream(path_) << "text";
  EXPECT_THAT(refusal([&] { inspected(); }), HasSubstr("not a result file"));
  EXPECT_THAT(refusal([&] { exported("csv"); }), HasSubstr("not a result file"));
  EXPECT_THAT(refusal([&] { inspect(folder_.path(), std::cerr); }), HasSubstr("not a file"));
  H5Fclose(H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
  EXPECT_THAT(refusal([&] { inspected(); }), HasSubstr("but not a result file"));
  fs::remove(path_);
  std::ofstream(path_ + ".partial") << "x";
  EXPECT_THAT(refusal([&] { inspected(); }), HasSubstr("out.h5.partial"));
  write(8);
  EXPECT_THAT(refusal([&] { exported("xml"); }), HasSubstr("csv or jsonl"));
}

TEST_F(ToolsTest, ACutFileIsRefused) {
  write(50);
  fs::resize_file(path_, fs::file_size(path_) / 2);
  EXPECT_THAT(refusal([&] { inspected(); }), HasSubstr("not a result file"));
}

TEST_F(ToolsTest, WhatAUserAddsToTheResultsIsLeftAlone) {
  write(8);
  const std::string before = exported("jsonl");
  const hid_t file = H5Fopen(path_.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), scalar = H5Screate(H5S_SCALAR);
  for (const char* name : {"results/a_scalar", "results/own/values"}) {
    if (std::string_view(name).ends_with("values"))
      H5Gclose(H5Gcreate2(file, "results/own", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Dclose(H5Dcreate2(file, name, H5T_NATIVE_INT, scalar, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  }
  const hsize_t three = 3;
  const hid_t short_space = H5Screate_simple(1, &three, nullptr);
  H5Dclose(H5Dcreate2(file, "results/short", H5T_NATIVE_INT, short_space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Lcreate_soft("/nowhere", file, "results/dangling", H5P_DEFAULT, H5P_DEFAULT);
  H5Sclose(short_space);
  H5Sclose(scalar);
  H5Fclose(file);
  EXPECT_EQ(exported("jsonl"), before);
  EXPECT_THAT(inspected(), HasSubstr("fixed_float16"));
}

TEST_F(ToolsTest, InspectPrintsNoControlCharacters) {
  write(8);
  const hid_t file = H5Fopen(path_.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  H5Adelete(file, "model");
  const std::string evil =
      "a\x1b]0;title\x07\xc2\x9b"
      "31m\x7f\nmodel      fake";
  const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  const hid_t attribute = H5Acreate2(file, "model", type, space, H5P_DEFAULT, H5P_DEFAULT);
  const char* text_of_it = evil.c_str();
  H5Awrite(attribute, type, &text_of_it);
  H5Aclose(attribute);
  H5Sclose(space);
  H5Tclose(type);
  H5Fclose(file);
  const std::string text = inspected();
  EXPECT_THAT(text, HasSubstr("a\\x1b]0;title\\x07\\xc2\\x9b31m\\x7f\\nmodel      fake\n"));
  for (const char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << static_cast<int>(c);
}

TEST_F(ToolsTest, SafeCsvHasNoFormulas) {
  write(8);
  EXPECT_THAT(exported("csv"), testing::Not(HasSubstr("'")));
  const hid_t file = H5Fopen(path_.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  H5Lmove(file, "results/text", file, "results/=text", H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
  EXPECT_THAT(exported("csv", true), HasSubstr(",'=text"));
  EXPECT_THAT(exported("csv", false), HasSubstr(",=text"));
  EXPECT_THAT(refusal([&] { exported("jsonl", true); }), HasSubstr("--safe-csv"));
}

TEST_F(ToolsTest, AFullPipeIsAnError) {
  write(8);
  std::ofstream full("/dev/full");
  ASSERT_TRUE(full.good());
  EXPECT_THROW(export_rows(path_, "csv", false, full), Error);
}

} // namespace
} // namespace mgpu::agent::write::test
