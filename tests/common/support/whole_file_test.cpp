#include "common/support/whole_file.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "mgpu/error.hpp"

namespace mgpu {
namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(WholeFile, LinksAtBothNamesAreReplacedNotFollowed) {
  std::string folder = (fs::temp_directory_path() / "whole_XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const fs::path precious = fs::path(folder) / "precious", path = fs::path(folder) / "out.json";
  std::ofstream(precious) << "keep me";
  fs::create_symlink(precious, path);
  fs::create_symlink(precious, path.string() + ".new");
  for (const bool durable : {false, true}) {
    write_whole_file(path.string(), "new", durable);
    EXPECT_EQ(content_of(precious), "keep me");
    EXPECT_EQ(content_of(path), "new");
    EXPECT_FALSE(fs::is_symlink(path) || fs::exists(path.string() + ".new"));
  }
  fs::create_directory(path.string() + ".new");
  EXPECT_THROW(write_whole_file(path.string(), "newer"), Error);
  EXPECT_EQ(content_of(path), "new");
  fs::remove_all(folder);
}

} // namespace
} // namespace mgpu
