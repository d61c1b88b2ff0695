#include "worker/load/augment.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "mgpu/load.hpp"
#include "worker/load/references.hpp"

namespace mgpu::worker::load {
namespace {

using test::Npy;
using test::references;

const Augmentation everything{.crop = 0.08, .flip = 0.5, .colour = 0.4, .time_mask = 0.1, .frequency_mask = 0.2, .gain = 6};

ImageSpec spec_of(int channels) {
  ImageSpec spec{.height = 45, .width = 60, .channels = channels, .mean = {0.485, 0.456, 0.406}, .std = {0.229, 0.224, 0.225}};
  return spec;
}

TEST(Augment, ChangesPicturesAsTorchvisionDoes) {
  for (const auto& row : test::table("changed.tsv")) {
    SCOPED_TRACE(row.back());
    const Npy<std::uint8_t> picture(references() + row[0]);
    const Npy<float> reference(references() + row.back());
    PictureChange change{std::stoi(row[1]), std::stoi(row[2]), std::stoi(row[3]), std::stoi(row[4]), row[5] == "1"};
    change.colours = row[6] != "-";
    for (std::size_t i = 0; change.colours && i < 3; ++i) change.order[i] = row[6][i] - '0';
    for (std::size_t i = 0; i < 3; ++i) change.factor[i] = std::stod(row[7 + i]);
    const ImageSpec spec = spec_of(static_cast<int>(picture.shape.at(2)));
    std::vector<float> ours(reference.values.size(), NAN);
    apply_change(change, picture.values.data(), static_cast<int>(picture.shape.at(1)), spec, ours.data());
    float most = 0;
    for (std::size_t i = 0; i < ours.size(); ++i) most = std::max(most, std::fabs(ours[i] - reference.values[i]));
    // Resizing is the same integer arithmetic; colours are float32, their sums in another order.
    EXPECT_LE(most, change.colours ? 1e-5f : 1e-6f);
  }
}

TEST(Augment, NoChangeIsWhatTheLoaderGives) {
  for (const int channels : {1, 3}) {
    const ImageSpec spec = spec_of(channels);
    const Item item = test::item_of(references() + "china_q90.jpg");
    const ImageLoader bytes(spec, PixelForm::uint8_hwc), floats(spec, PixelForm::float_chw);
    std::vector<std::uint8_t> pixels(bytes.row_bytes());
    std::vector<float> wanted(floats.row_bytes() / sizeof(float)), ours(wanted.size());
    bytes.load(item, pixels.data());
    floats.load(item, wanted.data());
    apply_change(draw_change(everything, 0, 1, 45, 60), pixels.data(), 60, spec, ours.data());
    EXPECT_EQ(ours, wanted);
  }
}

TEST(Augment, DrawsAsRandomResizedCropDoes) {
  constexpr int draws = 20000;
  double area = 0, flips = 0, log_ratio = 0, brightness = 0;
  std::map<std::array<int, 3>, int> orders;
  for (std::uint64_t seed = 0; seed < draws; ++seed) {
    const PictureChange change = draw_change(everything, 1, seed, 256, 256);
    ASSERT_GE(change.top, 0);
    ASSERT_GE(change.left, 0);
    ASSERT_LE(change.top + change.height, 256);
    ASSERT_LE(change.left + change.width, 256);
    const double share = change.height * change.width / 65536.0;
    ASSERT_GT(share, 0.075);
    ASSERT_LT(std::fabs(std::log(static_cast<double>(change.width) / change.height)), std::log(4.0 / 3) + 0.02);
    area += share / draws;
    log_ratio += std::log(static_cast<double>(change.width) / change.height) / draws;
    flips += change.flip / static_cast<double>(draws);
    for (const double factor : change.factor) ASSERT_LT(std::fabs(factor - 1), 0.4);
    brightness += change.factor[0] / draws;
    ++orders[change.order];
  }
  // 0.4789 ± 0.001: mean of 60000 draws of torchvision's RandomResizedCrop.get_params (large shares often do not fit).
  EXPECT_NEAR(area, 0.4789, 0.01);
  EXPECT_NEAR(log_ratio, 0, 0.01);
  EXPECT_NEAR(flips, 0.5, 0.015);
  EXPECT_NEAR(brightness, 1, 0.01);
  EXPECT_EQ(orders.size(), 6u);
  for (const auto& [order, count] : orders) EXPECT_NEAR(count, draws / 6.0, 250);
}

TEST(Augment, StrengthScalesAndASeedIsEnough) {
  const auto drawn = draw_change(everything, 1, 5, 200, 300);
  EXPECT_EQ(drawn, draw_change(everything, 1, 5, 200, 300));
  EXPECT_NE(drawn, draw_change(everything, 1, 6, 200, 300));
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto gentle = draw_change(everything, 0.1, seed, 256, 256);
    EXPECT_GT(gentle.height * gentle.width, 65536 * 0.7);
    for (const double factor : gentle.factor) EXPECT_LT(std::fabs(factor - 1), 0.04);
  }
  // One kind switched off leaves the others as they were.
  Augmentation without_flip = everything;
  without_flip.flip = 0;
  auto same = draw_change(without_flip, 1, 5, 200, 300);
  same.flip = drawn.flip;
  EXPECT_EQ(same, drawn);
  // A shape in which no draw can fit.
  const auto narrow = draw_change({.crop = 1}, 1, 5, 3, 300);
  EXPECT_EQ(narrow.height, 3);
  EXPECT_EQ(narrow.width, 4);
}

TEST(Augment, MasksBandsAndSpansOfFeatures) {
  constexpr int mels = 40, frames = 200;
  std::vector<float> features(mels * frames);
  for (std::size_t i = 0; i < features.size(); ++i) features[i] = static_cast<float>(i % 997) / 997;
  double mean = 0;
  for (const float value : features) mean += static_cast<double>(value) / static_cast<double>(features.size());
  std::set<int> widths;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    std::vector<float> varied = features;
    vary_log_mel({.time_mask = 0.1, .frequency_mask = 0.2}, 1, seed, mels, frames, varied.data());
    int bands = 0, spans = 0;
    const auto masked = [&](int mel, int frame) {
      return std::fabs(varied[static_cast<std::size_t>(mel * frames + frame)] - mean) < 1e-6;
    };
    for (int mel = 0; mel < mels; ++mel) {
      int count = 0;
      for (int frame = 0; frame < frames; ++frame) count += masked(mel, frame);
      bands += count == frames;
    }
    for (int frame = 0; frame < frames; ++frame) {
      int count = 0;
      for (int mel = 0; mel < mels; ++mel) count += masked(mel, frame);
      spans += count == mels;
    }
    ASSERT_LE(bands, 16);
    ASSERT_LE(spans, 40);
    widths.insert(bands);
    for (int mel = 0; mel < mels; ++mel)
      for (int frame = 0; frame < frames; ++frame) {
        const auto at = static_cast<std::size_t>(mel * frames + frame);
        ASSERT_TRUE(masked(mel, frame) || varied[at] == features[at]);
      }
  }
  EXPECT_GT(widths.size(), 8u);
  EXPECT_TRUE(widths.contains(0) || widths.contains(1));
}

TEST(Augment, GainOfFeaturesIsThatOfTheRecording) {
  AudioSpec audio;
  std::vector<float> quiet(16000);
  for (std::size_t i = 0; i < quiet.size(); ++i)
    quiet[i] = 0.1f * static_cast<float>(std::sin(0.05 * static_cast<double>(i * (i % 7 + 1))));
  std::vector<float> louder = quiet;
  vary_waveform({.gain = 6}, 1, 77, 1, 16000, louder.data());
  EXPECT_NE(louder[1], quiet[1]);
  std::vector<float> shifted = log_mel(quiet.data(), 16000, audio);
  vary_log_mel({.gain = 6}, 1, 77, audio.mels, 100, shifted.data());
  const std::vector<float> wanted = log_mel(louder.data(), 16000, audio);
  for (std::size_t i = 0; i < wanted.size(); ++i) ASSERT_NEAR(shifted[i], wanted[i], 1e-4);
}

} // namespace
} // namespace mgpu::worker::load
