#include "agent/manifest/manifest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "agent/manifest/text.hpp"

namespace mgpu::agent::manifest {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class ManifestTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "manifest_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& content = "") {
    const std::string path = folder_ + "/" + name;
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  /// Paths of a manifest without the test's folder.
  std::vector<std::string> paths(const Manifest& manifest) const {
    std::vector<std::string> out;
    for (std::uint64_t i = 0; i < manifest.size(); ++i) {
      std::string path(manifest.path(i));
      if (path.starts_with(folder_ + "/")) path.erase(0, folder_.size() + 1);
      out.push_back(path);
    }
    return out;
  }
  static std::string refusal(const std::string& input, const ReadOptions& options = {}) {
    try {
      Manifest::read(input, options);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return error.what();
    }
    return "not refused";
  }
  static std::string value(const Manifest& manifest, std::string_view column, std::uint64_t item) {
    return std::string(manifest.value(manifest.column(column).value(), item));
  }

  std::string folder_;
};

TEST_F(ManifestTest, FolderIsRecursiveAndSortedByBytes) {
  for (const char* name :
       {"b.png", "a/z.JPG", "a-b.png", "개.png", "x y\"q\n.jpeg", "\xff\xfe.png", "note.txt", "s.wav", ".hidden.png"})
    write(name);
  EXPECT_THAT(paths(Manifest::read(folder_, {.media = Media::images})),
              ElementsAre("a-b.png", "a/z.JPG", "b.png", "x y\"q\n.jpeg", "개.png", "\xff\xfe.png"));
  EXPECT_THAT(paths(Manifest::read(folder_, {.media = Media::audio})), ElementsAre("s.wav"));
  EXPECT_EQ(Manifest::read(folder_ + "/").size(), 8u);
}

TEST_F(ManifestTest, LoopsOfLinksEndAndEachFolderIsEnteredOnce) {
  write("real/a.png");
  fs::create_directory_symlink(folder_, folder_ + "/real/up");
  fs::create_directory_symlink(folder_ + "/real", folder_ + "/another");
  fs::create_symlink("nowhere", folder_ + "/dangling.png");
  ASSERT_EQ(::mkfifo((folder_ + "/pipe.png").c_str(), 0600), 0);
  EXPECT_THAT(paths(Manifest::read(folder_, {.media = Media::images})), ElementsAre("dangling.png", "real/a.png"));
}

TEST_F(ManifestTest, LinkedFolderOutsideIsFollowed) {
  write("outside/a.png");
  write("in/b.png");
  fs::create_directory_symlink(folder_ + "/outside", folder_ + "/in/link");
  EXPECT_THAT(paths(Manifest::read(folder_ + "/in")), ElementsAre("in/b.png", "in/link/a.png"));
}

TEST_F(ManifestTest, FolderNamedLikeARecordingIsAnItemThatCanFail) {
  write("take.wav/inner.wav");
  EXPECT_THAT(paths(Manifest::read(folder_, {.media = Media::audio})), ElementsAre("take.wav", "take.wav/inner.wav"));
  EXPECT_THAT(paths(Manifest::read(folder_)), ElementsAre("take.wav/inner.wav"));
}

TEST_F(ManifestTest, Glob) {
  for (const char* name : {"2.png", "10.png", "d/3.png", "c.txt"}) write(name);
  EXPECT_THAT(paths(Manifest::read(folder_ + "/*.png")), ElementsAre("10.png", "2.png"));
  EXPECT_THAT(paths(Manifest::read(folder_ + "/{2,d/3}.png")), ElementsAre("2.png", "d/3.png"));
  EXPECT_THAT(paths(Manifest::read(folder_ + "/*", {.media = Media::images})), ElementsAre("10.png", "2.png"));
  EXPECT_THAT(refusal(folder_ + "/*.gif"), HasSubstr("no items"));
}

TEST_F(ManifestTest, OneFileEvenWithGlobCharacters) {
  const std::string path = write("a[1].png");
  EXPECT_THAT(paths(Manifest::read(path)), ElementsAre("a[1].png"));
}

TEST_F(ManifestTest, ListKeepsBytes) {
  const std::string list = write("list.txt", "\xef\xbb\xbf/abs/a b.png\r\n\n/q\"uote.png\n/\xff.png\n/개.png");
  EXPECT_THAT(paths(Manifest::read(list)), ElementsAre("/abs/a b.png", "/q\"uote.png", "/\xff.png", "/개.png"));
}

TEST_F(ManifestTest, ListIsRelativeToItsFolderOrToTheWorkingFolder) {
  write("a.png");
  const std::string beside = write("list.txt", "a.png\nmissing.png\n");
  EXPECT_EQ(Manifest::read(beside).path(1), folder_ + "/missing.png");
  write("elsewhere/list.txt", "a.png\n");
  const fs::path before = fs::current_path();
  fs::current_path(folder_);
  EXPECT_EQ(Manifest::read(folder_ + "/elsewhere/list.txt").path(0), "a.png");
  fs::current_path(before);
}

TEST_F(ManifestTest, CsvOfRfc4180) {
  const std::string table = write("t.csv",
                                  "label,path,\"the \"\"prompt\"\"\"\r\n"
                                  "cat,a.png,\"one, two\"\r\n"
                                  ",\"dir/new\nline \"\"q\"\".png\",\r\n"
                                  "\n"
                                  "개,/abs/\xff.png,\"\"\n");
  const Manifest manifest = Manifest::read(table);
  EXPECT_THAT(paths(manifest), ElementsAre("a.png", "dir/new\nline \"q\".png", "/abs/\xff.png"));
  EXPECT_THAT(manifest.column_names(), ElementsAre("label", "the \"prompt\""));
  EXPECT_EQ(value(manifest, "the \"prompt\"", 0), "one, two");
  EXPECT_EQ(value(manifest, "label", 1), "");
  EXPECT_EQ(value(manifest, "label", 2), "개");
  EXPECT_FALSE(manifest.column("path").has_value());
}

TEST_F(ManifestTest, CsvIndexColumnWithoutNameIsLeftOut) {
  const Manifest manifest = Manifest::read(write("t.csv", ",path,label\n0,/a,x\n1,/b,y\n"));
  EXPECT_THAT(manifest.column_names(), ElementsAre("label"));
  EXPECT_EQ(value(manifest, "label", 1), "y");
}

TEST_F(ManifestTest, CsvRefusalsNameTheLine) {
  EXPECT_THAT(refusal(write("a.csv", "file,label\nx,y\n")), HasSubstr("no column path"));
  EXPECT_THAT(refusal(write("b.csv", "path,label\nx,y\nz\n")), HasSubstr("line 3: 1 fields, the header has 2"));
  EXPECT_THAT(refusal(write("c.csv", "path\n\"open\nand on\n")), HasSubstr("line 2: a quote is opened and never closed"));
  EXPECT_THAT(refusal(write("d.csv", "path\n\"a\"b\n")), HasSubstr("behind a closing quote"));
  EXPECT_THAT(refusal(write("e.csv", "path\na\"b\n")), HasSubstr("line 2: a quote inside"));
  EXPECT_THAT(refusal(write("f.csv", "path,x,x\na,1,2\n")), HasSubstr("two columns are named 'x'"));
  EXPECT_THAT(refusal(write("g.csv", "")), HasSubstr("header"));
  EXPECT_THAT(refusal(write("h.csv", "path\n")), HasSubstr("no items"));
  EXPECT_THAT(refusal(write("i.csv", "path,label\n,y\n")), HasSubstr("line 2 has an empty path"));
  EXPECT_THAT(refusal(write("j.csv", "path,path\na,b\n")), HasSubstr("two columns are named path"));
}

TEST_F(ManifestTest, JsonLinesKeepBytesAndTypes) {
  const std::string table = write("t.jsonl",
                                  "{\"path\": \"a b.png\", \"id\": 7, \"ok\": true, \"none\": null}\n"
                                  "\n"
                                  "{\"path\": \"raw\xff.png\", \"late\": \"x\", \"score\": 0.50}\n"
                                  "{\"path\": \"esc\\udcff\\udc80.png\", \"box\": [1, {\"a\": \"\\udcfe\"}]}\n"
                                  "{\"path\": \"/\\ud83d\\ude00 \\\\udcff \\u0001 \xea\xb0\x9c\\n.png\"}\n");
  const Manifest manifest = Manifest::read(table);
  EXPECT_THAT(paths(manifest),
              ElementsAre("a b.png", "raw\xff.png", "esc\xff\x80.png", "/\xf0\x9f\x98\x80 \\udcff \x01 \xea\xb0\x9c\n.png"));
  EXPECT_THAT(manifest.column_names(), ElementsAre("id", "ok", "none", "late", "score", "box"));
  EXPECT_EQ(value(manifest, "id", 0), "7");
  EXPECT_EQ(value(manifest, "ok", 0), "true");
  EXPECT_EQ(value(manifest, "none", 0), "");
  EXPECT_EQ(value(manifest, "late", 0), "");
  EXPECT_EQ(value(manifest, "late", 1), "x");
  EXPECT_EQ(value(manifest, "score", 1), "0.50");
  EXPECT_EQ(value(manifest, "box", 2), "[1,{\"a\":\"\\udcfe\"}]");
  EXPECT_EQ(value(manifest, "box", 3), "");
}

TEST_F(ManifestTest, JsonLinesRefusalsNameTheLine) {
  EXPECT_THAT(refusal(write("a.jsonl", "{\"path\": \"x\"}\n{\"path\": \n")), HasSubstr("line 2: not JSON"));
  EXPECT_THAT(refusal(write("b.jsonl", "{\"file\": \"x\"}\n")), HasSubstr("line 1: no \"path\""));
  EXPECT_THAT(refusal(write("c.jsonl", "\"x\"\n")), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal(write("d.jsonl", "[1]\n")), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal(write("e.jsonl", "{\"path\": \"a\\u0000b\"}\n")), HasSubstr("NUL"));
  EXPECT_THAT(refusal(write("f.jsonl", "{\"path\": \"\\ud800\"}\n")), HasSubstr("not JSON"));
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  EXPECT_THAT(refusal(write("deep.jsonl", "{\"path\": \"a\", \"x\": " + deep + "}\n")),
              HasSubstr("line 1: nested more than 64 levels"));
  std::string wide;
  for (int row = 0; row < 2000; ++row) wide += "{\"path\": \"a\", \"k" + std::to_string(row) + "\": 1}\n";
  EXPECT_THAT(refusal(write("wide.jsonl", wide)), HasSubstr("more than 1000 columns"));
  EXPECT_THAT(refusal(write("g.jsonl", "{\"path\": \"a\", \"x\": {\"y\": }}\n")), HasSubstr("not JSON"));
}

TEST_F(ManifestTest, OthersAreRefused) {
  EXPECT_THAT(refusal(folder_ + "/none"), HasSubstr("No such file"));
  EXPECT_THAT(refusal(""), HasSubstr("--input"));
  EXPECT_THAT(refusal(write("empty.txt")), HasSubstr("no items"));
  EXPECT_THAT(refusal(write("binary.txt", std::string("a\0b", 3))), HasSubstr("NUL"));
  fs::create_directory(folder_ + "/hollow");
  EXPECT_THAT(refusal(folder_ + "/hollow"), HasSubstr("no items"));
  EXPECT_THAT(refusal("/no\nsuch"), HasSubstr("\\n"));
}

TEST_F(ManifestTest, CostsComeFromAColumnOrFromSizes) {
  const std::string table = write("t.csv", "path,duration\na,10\nb,\nc,20\nd,nan\n");
  EXPECT_THAT(Manifest::read(table).costs(), ElementsAre(10, 15, 20, 15));
  EXPECT_THAT(refusal(table, {.cost_column = "length"}), HasSubstr("no column 'length'"));
  EXPECT_THAT(refusal(write("n.csv", "path,w\na,x\n"), {.cost_column = "w"}), HasSubstr("not one number"));
  EXPECT_TRUE(Manifest::read(write("u.csv", "path,size\na,big\n")).costs().empty());

  write("a", "12345");
  write("c", "1");
  const std::string plain = write("p.csv", "path\na\nmissing\nc\n");
  EXPECT_TRUE(Manifest::read(plain).costs().empty());
  EXPECT_THAT(Manifest::read(plain, {.stat_sizes = true}).costs(), ElementsAre(5, 3, 1));
}

TEST_F(ManifestTest, Priorities) {
  EXPECT_TRUE(Manifest::read(write("n.csv", "path\na\n")).priorities().empty());
  EXPECT_THAT(Manifest::read(write("p.csv", "path,priority\na,5\nb,\nc,-2\nd,3.0\n")).priorities(), ElementsAre(5, 0, -2, 3));
  EXPECT_THAT(
      Manifest::read(write("p.jsonl", "{\"path\":\"a\"}\n{\"path\":\"b\",\"priority\":4}\n{\"path\":\"c\"}\n")).priorities(),
      ElementsAre(0, 4, 0));
  EXPECT_THAT(refusal(write("b.csv", "path,priority\na,5\nb,high\n")), HasSubstr("line 3: priority 'high'"));
}

TEST_F(ManifestTest, LinesLongerThanTheBufferAndManyOfThem) {
  std::string content;
  for (int i = 0; i < 100000; ++i) content += "/data/" + std::to_string(i) + ".png\n";
  content += "/" + std::string(3u << 20, 'x') + "\n/last";
  const Manifest manifest = Manifest::read(write("l.txt", content));
  ASSERT_EQ(manifest.size(), 100002u);
  EXPECT_EQ(manifest.path(54321), "/data/54321.png");
  EXPECT_EQ(manifest.path(100000).size(), (3u << 20) + 1);
  EXPECT_EQ(manifest.path(100001), "/last");
}

TEST(Text, Utf8IsJudgedAsTheStandardSays) {
  for (const char* good : {"", "a", "\xc3\xa9", "\xea\xb0\x9c", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(is_utf8(good)) << good;
  for (const char* bad :
       {"\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xff"})
    EXPECT_FALSE(is_utf8(bad)) << shown(bad);
}

} // namespace
} // namespace mgpu::agent::manifest
