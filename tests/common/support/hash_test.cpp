#include "common/support/hash.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "mgpu/error.hpp"

namespace mgpu {
namespace {

struct Folder {
  Folder() : path(std::filesystem::temp_directory_path() / ("mgpu_hash_test_" + std::to_string(getpid()))) {
    std::filesystem::create_directory(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

TEST(Hash, IsSha256) { // FIPS 180-2, appendix B.1
  const Folder folder;
  std::ofstream(folder.path / "abc") << "abc";
  EXPECT_EQ(sha256_of((folder.path / "abc").string()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Hash, AnotherOneIsRefused) {
  const Folder folder;
  std::ofstream(folder.path / "abc") << "abc";
  const std::string path = (folder.path / "abc").string();
  EXPECT_NO_THROW(require_sha256(path, ""));
  EXPECT_NO_THROW(require_sha256(path, "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"));
  try {
    require_sha256(path, "00");
    FAIL() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("ba7816bf"), std::string::npos) << "says what it is";
  }
}

TEST(Hash, OfATextIsOfItsBytes) {
  EXPECT_EQ(sha256_of_text("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Hash, OfAFolderKnowsNamesAndContents) {
  const Folder folder;
  std::ofstream(folder.path / "a") << "1";
  const std::string before = sha256_of(folder.path.string());
  EXPECT_EQ(sha256_of(folder.path.string()), before);
  std::filesystem::rename(folder.path / "a", folder.path / "b");
  EXPECT_NE(sha256_of(folder.path.string()), before);
}

TEST(Hash, OfAFolderKnowsWhatLinksLeadTo) {
  const Folder folder;
  const std::filesystem::path bundle = folder.path / "bundle", outside = folder.path / "outside";
  std::filesystem::create_directories(bundle);
  std::filesystem::create_directories(outside);
  std::ofstream(outside / "weights") << "1";
  std::filesystem::create_directory_symlink(outside, bundle / "linked");
  const std::string before = sha256_of(bundle.string());
  std::ofstream(outside / "weights") << "2";
  EXPECT_NE(sha256_of(bundle.string()), before);
  std::filesystem::create_directory_symlink(bundle, outside / "again");
  EXPECT_THROW(sha256_of(bundle.string()), Error) << "a folder that holds itself has no hash";
}

TEST(Hash, OfAFolderKnowsWhereAFileEnds) {
  const Folder folder;
  std::filesystem::create_directories(folder.path / "one");
  std::filesystem::create_directories(folder.path / "two");
  std::ofstream(folder.path / "one/a") << "1";
  std::ofstream(folder.path / "one/b") << "2";
  std::ofstream(folder.path / "two/a") << "1b" << '\0' << "2"; // name and contents of the second within the first
  EXPECT_NE(sha256_of((folder.path / "one").string()), sha256_of((folder.path / "two").string()));
}

TEST(Hash, PiecesAreKeptApart) {
  Sha256 one, other;
  one.add("ab");
  one.add("c");
  other.add("a");
  other.add("bc");
  EXPECT_NE(one.hex(), other.hex());
}

TEST(Hash, StateChangesWithWhatAModelIs) {
  const Folder folder;
  std::ofstream(folder.path / "a") << "1";
  const std::string file = state_of((folder.path / "a").string()), all = state_of(folder.path.string());
  EXPECT_EQ(state_of((folder.path / "a").string()), file);
  std::ofstream(folder.path / "a") << "22";
  EXPECT_NE(state_of((folder.path / "a").string()), file);
  EXPECT_NE(state_of(folder.path.string()), all);
}

TEST(Hash, ALongReadingIsToldOfAndCanBeEnded) {
  const Folder folder;
  std::ofstream(folder.path / "a") << std::string(3 << 20, 'a');
  std::ofstream(folder.path / "b") << "bc";
  std::uint64_t times = 0, last = 0, all = 0;
  sha256_of(folder.path.string(), [&](std::string_view what, std::uint64_t done, std::uint64_t total) {
    EXPECT_EQ(what, folder.path.string());
    EXPECT_GT(done, last);
    ++times;
    last = done;
    all = total;
  });
  EXPECT_EQ(last, (3u << 20) + 2);
  EXPECT_EQ(all, last);
  EXPECT_GE(times, 4u);
  EXPECT_THROW(sha256_of(folder.path.string(), [](auto&&...) { throw Error("enough"); }), Error);
}

TEST(Hash, SaysWhatCannotBeRead) {
  EXPECT_THROW(sha256_of("/no/such/file"), Error);
}

} // namespace
} // namespace mgpu
