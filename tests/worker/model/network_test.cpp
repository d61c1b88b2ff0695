// From files on disk to named columns: pictures and recordings through a bundle, as the job infer does it.
#include "mgpu/network.hpp"
#include "worker/device/torch.hpp"

#include <gmock/gmock.h>

#include <any>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "worker/batch/collate.hpp"
#include "worker/model/models_folder.hpp"

namespace mgpu::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// A 16-bit mono WAV whose samples are 1/4.
void write_wav(const std::string& path, std::uint32_t samples, std::uint32_t rate) {
  std::ofstream file(path, std::ios::binary);
  const auto put = [&](auto value) { file.write(reinterpret_cast<const char*>(&value), sizeof value); };
  const std::uint32_t bytes = samples * 2;
  file << "RIFF";
  put(36 + bytes);
  file << "WAVEfmt ";
  put(std::uint32_t{16}), put(std::uint16_t{1}), put(std::uint16_t{1}), put(rate), put(rate * 2), put(std::uint16_t{2}),
      put(std::uint16_t{16});
  file << "data";
  put(bytes);
  for (std::uint32_t i = 0; i < samples; ++i) put(std::int16_t{8192});
}

/// A 24-bit BMP of one colour, rows padded to 4 bytes.
void write_bmp(const std::string& path, std::int32_t width, std::int32_t height, std::uint8_t value) {
  std::ofstream file(path, std::ios::binary);
  const auto put = [&](auto number) { file.write(reinterpret_cast<const char*>(&number), sizeof number); };
  const auto row_bytes = static_cast<std::uint32_t>((width * 3 + 3) / 4 * 4);
  const std::uint32_t bytes = row_bytes * static_cast<std::uint32_t>(height);
  file << "BM";
  put(54 + bytes), put(std::uint32_t{0}), put(std::uint32_t{54}), put(std::uint32_t{40}), put(width), put(height);
  put(std::uint16_t{1}), put(std::uint16_t{24}), put(std::uint32_t{0}), put(bytes);
  for (int i = 0; i < 4; ++i) put(std::uint32_t{0});
  file << std::string(bytes, static_cast<char>(value));
}

class NetworkTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  RankContext context(nlohmann::json bundle, std::int64_t batch_size) {
    bundle["schema"] = "mgpu-bundle/1";
    const auto model = bundle["model"].get<std::string>();
    std::filesystem::create_symlink(models_folder() + "/" + model, folder_ / model);
    std::ofstream(folder_ / "bundle.json") << bundle;
    RankContext context;
    context.model_path = folder_;
    context.batch_size = batch_size;
    return context;
  }
  static Item item(std::string path) {
    Item item;
    item.path = std::move(path);
    return item;
  }
  static Batch batch_of(torch::Tensor input, torch::Tensor lengths, const Item& any) {
    Batch batch;
    batch.items.assign(static_cast<std::size_t>(input.size(0)), &any);
    batch.input = std::move(input);
    batch.lengths = std::move(lengths);
    return batch;
  }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / "mgpu_network_test";
  c10::InferenceMode inference_;
};

TEST_F(NetworkTest, OutputsThatFollowTheLengthAreCutToEachRow) {
  Network network(context({{"model", "frames.pt"}, {"audio", {{"sample_rate", 8000}}}, {"outputs", {"frames", "valid"}}}, 3));
  EXPECT_FALSE(network.preprocessor().row_spec());
  std::vector<Sample> samples(3);
  std::vector<std::string> errors(3);
  const std::uint32_t lengths[] = {800, 400, 82};
  for (std::size_t row = 0; row < 3; ++row) {
    const std::string path = folder_ / (std::to_string(row) + ".wav");
    write_wav(path, lengths[row], 8000);
    network.preprocessor().prepare(item(path), samples[row]);
  }
  const auto collated =
      collate(samples, errors, [](at::IntArrayRef shape, torch::ScalarType type) { return torch::empty(shape, type); });
  const Item any;
  const Batch batch = batch_of(collated.input, collated.lengths, any);
  Outputs outputs;
  network.add_outputs(batch, network.call(batch), outputs);
  ASSERT_EQ(outputs.columns.size(), 2u);
  EXPECT_EQ(outputs.columns[0].name, "frames");
  ASSERT_EQ(outputs.columns[0].layout, Layout::ragged);
  const auto& rows = outputs.columns[0].ragged;
  EXPECT_EQ(rows[0].size(0), 200);
  EXPECT_EQ(rows[1].size(0), 100);
  EXPECT_EQ(rows[2].size(0), 20) << "the model's own count of valid frames";
  EXPECT_TRUE(torch::allclose(rows[1].select(1, 0), torch::full({100}, 0.25), 1e-4, 1e-4));
  EXPECT_EQ(outputs.columns[1].name, "valid");
  EXPECT_EQ(outputs.columns[1].layout, Layout::fixed);
}

TEST_F(NetworkTest, PicturesBecomeTheModelsInputAndDictKeysBecomeNames) {
  // Nested takes [B, 2, 3]; a grey 2 x 3 picture of one channel is [B, 1, 2, 3], which it flattens to the same.
  Network network(context(
      {{"model", "nested.pt"}, {"image", {{"size", {2, 3}}, {"resize", "none"}, {"channels", 1}, {"mean", 0.5}, {"std", 0.5}}}},
      2));
  const std::string path = folder_ / "grey.bmp";
  write_bmp(path, 3, 2, 255);
  ASSERT_TRUE(network.preprocessor().row_spec());
  EXPECT_EQ(network.preprocessor().row_spec()->shape, (std::vector<std::int64_t>{1, 2, 3}));
  torch::Tensor input = torch::empty({2, 1, 2, 3});
  for (std::int64_t row = 0; row < 2; ++row) {
    Sample sample{input[row], {}};
    network.preprocessor().prepare(item(path), sample);
    const auto* placement = std::any_cast<Placement>(&sample.extra);
    ASSERT_NE(placement, nullptr);
    EXPECT_EQ(*placement, (Placement{2, 3, 1, 1, 0, 0}));
  }
  EXPECT_TRUE(torch::allclose(input, torch::ones({2, 1, 2, 3}), 1e-3, 1e-2)) << "white is (1 - 0.5) / 0.5";
  const Item any;
  const Batch batch = batch_of(input, {}, any);
  Outputs outputs;
  network.add_outputs(batch, network.call(batch), outputs);
  std::vector<std::string> names;
  for (const auto& column : outputs.columns) names.push_back(column.name);
  EXPECT_THAT(names, ElementsAre("output_0_logits", "output_0_twice", "output_1"));
}

TEST_F(NetworkTest, FixedSecondsMakeRowsOfOneShape) {
  const Network network(context({{"model", "frames.pt"}, {"audio", {{"sample_rate", 8000}, {"seconds", 0.5}}}}, 2));
  ASSERT_TRUE(network.preprocessor().row_spec());
  EXPECT_EQ(network.preprocessor().row_spec()->shape, (std::vector<std::int64_t>{1, 4000}));
  const std::string path = folder_ / "short.wav";
  write_wav(path, 1000, 8000);
  torch::Tensor row = torch::full({1, 4000}, -1.0);
  Sample sample{row, {}};
  network.preprocessor().prepare(item(path), sample);
  EXPECT_NEAR(row[0][999].item<float>(), 0.25f, 1e-3);
  EXPECT_EQ(row[0][1000].item<float>(), 0.0f);
  EXPECT_EQ(row[0][3999].item<float>(), 0.0f);
}

TEST_F(NetworkTest, AWrongNumberOfNamesIsSaid) {
  Network network(context({{"model", "pair.pt"}, {"image", {{"size", {2, 3}}}}, {"outputs", {"one"}}}, 2));
  const Item any;
  const Batch batch = batch_of(torch::zeros({2, 2, 3}), {}, any);
  Outputs outputs;
  try {
    network.add_outputs(batch, network.call(batch), outputs);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("names 1 outputs, the model has 2"));
  }
}

TEST(Classes, AreTheBestWithTheirSoftmaxAndTiesGoToTheLowerIndex) {
  const torch::Tensor logits = torch::tensor({{0.f, 2.f, 2.f, 1.f}, {5.f, 0.f, 0.f, 0.f}});
  Outputs one;
  add_classes(logits, 1, one);
  EXPECT_EQ(one.columns[0].name, "label");
  EXPECT_TRUE(torch::equal(one.columns[0].fixed, torch::tensor({1, 0}, torch::kLong)));
  EXPECT_TRUE(torch::allclose(one.columns[1].fixed, std::get<0>(torch::softmax(logits, 1).max(1))));
  Outputs three;
  add_classes(logits, 3, three);
  EXPECT_TRUE(torch::equal(three.columns[0].fixed, torch::tensor({{1, 2, 3}, {0, 1, 2}}, torch::kLong)));
  EXPECT_EQ(three.columns[1].fixed.sizes(), torch::IntArrayRef({2, 3}));
  EXPECT_THROW(add_classes(logits, 5, three), Error);
  EXPECT_THROW(add_classes(torch::zeros({2, 3, 4}), 1, three), Error);
}

} // namespace
} // namespace mgpu::worker
