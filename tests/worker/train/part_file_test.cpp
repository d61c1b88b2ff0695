#include "worker/train/checkpoint/part_file.hpp"
#include "worker/device/torch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "rig.hpp"
#include "worker/train/checkpoint/checkpoint.hpp"

namespace mgpu::worker::train {
namespace {

using ::testing::HasSubstr;

Part sample() {
  Part part;
  part.step = 12;
  part.elements = 10;
  part.slices = {{2, 5}, {8, 10}};
  part.arrays = {{1, 2, 3, 4, 5}, {-1, -2, -3, -4, -5}};
  part.tensors = {{"norm.running_mean", torch::tensor({0.5F, 1.5F})}, {"norm.count", torch::tensor(std::int64_t{7})}};
  part.state = {{"step", 12}};
  return part;
}

std::string reason(const std::string& path) {
  try {
    read_part(path);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
}

TEST(PartFile, ComesBackAsItWas) {
  const Folder folder;
  const std::string path = folder.path / part_name(0);
  const std::uint64_t bytes = write_part(path, sample());
  EXPECT_EQ(bytes, std::filesystem::file_size(path));
  const Part read = read_part(path);
  EXPECT_EQ(read.slices, sample().slices);
  EXPECT_EQ(read.arrays, sample().arrays);
  EXPECT_TRUE(torch::equal(read.tensors[0].tensor, sample().tensors[0].tensor));
  EXPECT_EQ(read.tensors[1].tensor.item<std::int64_t>(), 7);
  EXPECT_EQ(read.state, sample().state);
}

TEST(PartFile, SaysWhatIsWrongWithAFile) {
  const Folder folder;
  const std::string path = folder.path / part_name(0);
  write_part(path, sample());
  EXPECT_THAT(reason(folder.path / "none"), HasSubstr("cannot be read"));

  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-3, std::ios::end);
  file.put('!');
  file.close();
  EXPECT_THAT(reason(path), HasSubstr("is damaged"));

  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  EXPECT_THAT(reason(path), HasSubstr("is truncated"));

  write_part(path, sample());
  file.open(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(8);
  file.put(static_cast<char>(part_version + 1));
  file.close();
  EXPECT_THAT(reason(path), HasSubstr("newer version"));

  std::ofstream(path) << "not a part at all, but long enough to have a head of sixty-four bytes";
  EXPECT_THAT(reason(path), HasSubstr("not a part of a checkpoint"));
}

TEST(PartFile, AFullDiskIsSaidAndLeavesNothing) {
  EXPECT_THROW(write_part("/dev/full/part", sample()), Error);
}

TEST(PartFile, GivesWhatIsWanted) {
  std::vector<float> out(5, 0);
  EXPECT_EQ(copy_overlap(sample(), 0, {{3, 6}, {8, 10}}, out), 4u);
  EXPECT_EQ(out, (std::vector<float>{2, 3, 0, 4, 5}));
}

TEST(Checkpoint, IsPutTogetherForOtherRanks) {
  const Folder folder;
  Part first = sample(), second = sample();
  first.world_size = second.world_size = 2;
  second.rank = 1;
  first.slices = {{0, 6}};
  second.slices = {{6, 10}};
  first.arrays = {{0, 1, 2, 3, 4, 5}};
  second.arrays = {{6, 7, 8, 9}};
  second.tensors[0].tensor = torch::tensor({1.5F, 2.5F});
  write_part(folder.path / part_name(0), first);
  write_part(folder.path / part_name(1), second);

  const Restored one = restore(folder.path, 0, 1, 10, {{0, 10}});
  EXPECT_EQ(one.arrays[0], (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_TRUE(torch::equal(one.tensors[0].tensor, torch::tensor({1.0F, 2.0F}))) << "the ranks' mean";
  const Restored same = restore(folder.path, 1, 2, 10, {{6, 10}});
  EXPECT_TRUE(torch::equal(same.tensors[0].tensor, torch::tensor({1.5F, 2.5F}))) << "its own";
  EXPECT_THROW(restore(folder.path, 0, 1, 12, {{0, 12}}), Error) << "another network";
  std::filesystem::remove(folder.path / part_name(1));
  EXPECT_THROW(restore(folder.path, 0, 1, 10, {{0, 10}}), Error);
}

} // namespace
} // namespace mgpu::worker::train
