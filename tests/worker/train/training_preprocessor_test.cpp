#include "mgpu/training_preprocessor.hpp"
#include "worker/device/torch.hpp"

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "mgpu/network.hpp"

namespace mgpu::worker {
namespace {

/// A 24-bit BMP whose pixels all differ.
void write_bmp(const std::string& path, std::int32_t width, std::int32_t height) {
  std::ofstream file(path, std::ios::binary);
  const auto put = [&](auto number) { file.write(reinterpret_cast<const char*>(&number), sizeof number); };
  const std::int32_t row_bytes = (width * 3 + 3) / 4 * 4;
  file << "BM";
  put(54 + row_bytes * height), put(0), put(54), put(40), put(width), put(height);
  put(std::uint16_t{1}), put(std::uint16_t{24});
  for (int i = 0; i < 6; ++i) put(0);
  for (std::int32_t i = 0; i < row_bytes * height; ++i) put(static_cast<std::uint8_t>(i * 7 + i / row_bytes * 11));
}

/// A 16-bit mono WAV of rising samples.
void write_wav(const std::string& path, std::uint32_t samples, std::uint32_t rate) {
  std::ofstream file(path, std::ios::binary);
  const auto put = [&](auto value) { file.write(reinterpret_cast<const char*>(&value), sizeof value); };
  file << "RIFF";
  put(36 + samples * 2);
  file << "WAVEfmt ";
  put(16), put(std::uint16_t{1}), put(std::uint16_t{1}), put(rate), put(rate * 2), put(std::uint16_t{2}), put(std::uint16_t{16});
  file << "data";
  put(samples * 2);
  for (std::uint32_t i = 0; i < samples; ++i) put(static_cast<std::int16_t>(1000 + i % 20000));
}

Item item_of(const std::string& path) {
  Item item;
  item.path = path;
  return item;
}

class TrainingPreprocessorTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_);
    for (int i = 0; i < 4; ++i) write_bmp(picture(i), 61 + i, 47);
    for (int i = 0; i < 2; ++i) write_wav(sound(i), 8000 + 400 * static_cast<std::uint32_t>(i), 8000);
    pictures_.image = ImageSpec{.height = 28, .width = 35, .resize_to = 30, .mean = {0.4, 0.5, 0.6}, .std = {0.2, 0.3, 0.25}};
    sounds_.audio = AudioSpec{.sample_rate = 8000};
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string picture(int i) const { return folder_ / (std::to_string(i) + ".bmp"); }
  std::string sound(int i) const { return folder_ / (std::to_string(i) + ".wav"); }
  static RankContext context(const std::string& augment, const std::string& cache) {
    RankContext context;
    context.config = Config({{"augment", augment}, {"augment-strength", 1.0}, {"cache", cache}});
    return context;
  }
  static torch::Tensor prepared(const TrainingPreprocessor& preprocessor, const std::string& path, Variation variation) {
    Sample sample;
    if (const auto spec = preprocessor.row_spec()) sample.input = torch::full(spec->shape, 7, spec->type);
    preprocessor.prepare(item_of(path), variation, sample);
    return sample.input;
  }
  static torch::Tensor at_inference(const Bundle& bundle, const std::string& path) {
    const Preprocessor preprocessor(bundle, RankContext{});
    Sample sample;
    if (const auto spec = preprocessor.row_spec()) sample.input = torch::empty(spec->shape, spec->type);
    preprocessor.prepare(item_of(path), sample);
    return sample.input;
  }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / "mgpu_training_preprocessor_test";
  Bundle pictures_, sounds_;
};

TEST_F(TrainingPreprocessorTest, WithoutVariationIsWhatInferenceSees) {
  for (const char* cache : {"none", "auto"})
    for (const char* augment : {"", "auto"}) {
      const TrainingPreprocessor preprocessor(pictures_, context(augment, cache));
      EXPECT_EQ(preprocessor.row_spec()->shape, (std::vector<std::int64_t>{3, 28, 35}));
      for (int visit = 0; visit < 2; ++visit)
        EXPECT_TRUE(torch::equal(prepared(preprocessor, picture(1), {5, 0}), at_inference(pictures_, picture(1))))
            << cache << augment;
      const TrainingPreprocessor listener(sounds_, context(augment, cache));
      for (int visit = 0; visit < 2; ++visit)
        EXPECT_TRUE(torch::equal(prepared(listener, sound(1), {5, 0}), at_inference(sounds_, sound(1)))) << cache << augment;
    }
}

TEST_F(TrainingPreprocessorTest, AVisitDependsOnItsSeedAlone) {
  const TrainingPreprocessor cached(pictures_, context("auto", "auto")), fresh(pictures_, context("auto", "none"));
  const torch::Tensor first = prepared(cached, picture(0), {11, 1});
  EXPECT_TRUE(torch::equal(first, prepared(cached, picture(0), {11, 1})));
  EXPECT_TRUE(torch::equal(first, prepared(fresh, picture(0), {11, 1}))) << "kept or decoded again";
  EXPECT_FALSE(torch::equal(first, prepared(cached, picture(0), {12, 1})));
  std::vector<torch::Tensor> seen(8);
  std::vector<std::thread> threads;
  for (auto& each : seen) threads.emplace_back([&] { each = prepared(fresh, picture(0), {11, 1}); });
  for (auto& thread : threads) thread.join();
  for (const auto& each : seen) EXPECT_TRUE(torch::equal(first, each));
}

TEST_F(TrainingPreprocessorTest, SoundIsMaskedAndScaled) {
  const TrainingPreprocessor preprocessor(sounds_, context("time_mask=0.2,gain", "auto"));
  const torch::Tensor plain = at_inference(sounds_, sound(0)), varied = prepared(preprocessor, sound(0), {3, 1});
  ASSERT_EQ(varied.sizes(), plain.sizes());
  const torch::Tensor heard = varied.ne(0), factor = varied.masked_select(heard) / plain.masked_select(heard);
  EXPECT_LT(heard.logical_not().sum().item<std::int64_t>(), 2 * 8000 / 5);
  EXPECT_GT(heard.logical_not().sum().item<std::int64_t>(), 0);
  EXPECT_LT((factor.max() - factor.min()).item<float>(), 1e-3f) << "one factor";
  EXPECT_NE(factor[0].item<float>(), 1);
  EXPECT_TRUE(torch::equal(plain, prepared(preprocessor, sound(0), {3, 0}))) << "what is kept is not varied";
}

TEST_F(TrainingPreprocessorTest, TheCacheIsBounded) {
  const std::uint64_t row_bytes = 28 * 35 * 3;
  const TrainingPreprocessor preprocessor(pictures_, context("", "0.007")); // 7000 bytes: room for two pictures
  for (int visit = 0; visit < 2; ++visit)
    for (int i = 0; i < 4; ++i) prepared(preprocessor, picture(i), {1, 1});
  EXPECT_EQ(preprocessor.kept().items, 2u);
  EXPECT_GE(preprocessor.kept().bytes, 2 * row_bytes);
  EXPECT_LE(preprocessor.kept().bytes, preprocessor.kept().limit_bytes);
  std::filesystem::remove(picture(0));
  prepared(preprocessor, picture(0), {1, 1}); // from memory
  std::filesystem::remove(picture(3));
  EXPECT_THROW(prepared(preprocessor, picture(3), {1, 1}), Error);
  const TrainingPreprocessor automatic(pictures_, context("", "auto"));
  EXPECT_GT(automatic.kept().limit_bytes, 1u << 20);
}

TEST_F(TrainingPreprocessorTest, FixedSecondsAreRows) {
  sounds_.audio->seconds = 2;
  const TrainingPreprocessor preprocessor(sounds_, context("time_mask", "auto"));
  ASSERT_TRUE(preprocessor.row_spec());
  EXPECT_EQ(prepared(preprocessor, sound(0), {1, 1}).sizes(), torch::IntArrayRef({1, 16000}));
  EXPECT_TRUE(torch::equal(prepared(preprocessor, sound(0), {1, 0}), at_inference(sounds_, sound(0))));
}

TEST_F(TrainingPreprocessorTest, WrongOptionsAreSaid) {
  EXPECT_THROW(TrainingPreprocessor(pictures_, context("blur", "auto")), Error);
  EXPECT_THROW(TrainingPreprocessor(sounds_, context("frequency_mask", "auto")), Error) << "a waveform has no bands";
  EXPECT_THROW(TrainingPreprocessor(pictures_, context("", "much")), Error);
  EXPECT_THROW(TrainingPreprocessor(Bundle{}, context("", "auto")), Error);
}

} // namespace
} // namespace mgpu::worker
