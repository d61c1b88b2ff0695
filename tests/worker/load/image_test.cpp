#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <thread>

#include "mgpu/load.hpp"
#include "worker/load/references.hpp"

namespace mgpu::test {
namespace {

bool ends_with(const std::string& text, const char* end) {
  return std::string_view(text).ends_with(end);
}

/// The rules of make_references.py.
ImageSpec spec_of(const std::string& rule) {
  static const std::vector<double> mean{0.485, 0.456, 0.406}, std{0.229, 0.224, 0.225};
  ImageSpec spec;
  spec.mean = mean;
  spec.std = std;
  const auto size = [&](int height, int width) { spec.height = height, spec.width = width; };
  if (rule == "imagenet") size(224, 224), spec.resize_to = 256;
  if (rule == "bicubic") size(224, 200), spec.resize_to = 232, spec.interpolation = Interpolation::bicubic;
  if (rule == "lanczos") size(224, 200), spec.resize_to = 232, spec.interpolation = Interpolation::lanczos;
  if (rule == "nearest") size(96, 96), spec.resize_to = 100, spec.interpolation = Interpolation::nearest;
  if (rule == "exact") size(130, 211), spec.resize = Resize::exact;
  if (rule == "enlarge") size(700, 900), spec.resize = Resize::exact, spec.interpolation = Interpolation::bicubic;
  if (rule == "padded") size(75, 300), spec.resize_to = 60;
  if (rule == "grey") size(64, 64), spec.channels = 1, spec.mean = {0}, spec.std = {1};
  if (rule == "letterbox") size(320, 321), spec.resize = Resize::letterbox, spec.mean = {0, 0, 0}, spec.std = {1, 1, 1};
  if (rule == "tensor")
    size(90, 140), spec.resize = Resize::exact, spec.antialias = false, spec.mean = {0, 0, 0}, spec.std = {1, 1, 1};
  return spec;
}

/// Differences between prepared pictures, in the model's units and, undoing std, in 255ths.
struct Difference {
  double most = 0, most_255 = 0, mean_255 = 0;
};

Difference difference(const ImageSpec& spec, const std::vector<float>& ours, const std::vector<float>& theirs) {
  Difference result;
  const std::size_t plane = static_cast<std::size_t>(spec.height) * static_cast<std::size_t>(spec.width);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const double apart = std::fabs(static_cast<double>(ours[i]) - theirs[i]), in_255 = apart * spec.std[i / plane] * 255;
    result.most = std::max(result.most, apart);
    result.most_255 = std::max(result.most_255, in_255);
    result.mean_255 += in_255 / static_cast<double>(ours.size());
  }
  return result;
}

std::vector<float> prepared(const ImageSpec& spec, const Item& item) {
  const ImageLoader loader(spec, PixelForm::float_chw);
  std::vector<float> out(loader.row_bytes() / sizeof(float), NAN);
  loader.load(item, out.data());
  return out;
}

TEST(Picture, DecodesEveryKindAsPillowDoes) {
  for (const auto& row : table("pictures.tsv")) {
    SCOPED_TRACE(row[0]);
    const Npy<std::uint8_t> reference(references() + row[1]);
    const Picture picture = decode_picture(item_of(references() + row[0]), 3);
    ASSERT_EQ(picture.height, reference.shape.at(0));
    ASSERT_EQ(picture.width, reference.shape.at(1));
    int most = 0;
    std::size_t apart = 0;
    for (std::size_t i = 0; i < picture.pixels.size(); ++i) {
      const int difference = std::abs(picture.pixels[i] - reference.values[i]);
      most = std::max(most, difference);
      apart += difference != 0;
    }
    // libjpeg-turbo, libwebp and zlib are exact; JPEG within TIFF is converted by libtiff's copy of libjpeg.
    EXPECT_EQ(most, 0) << apart << " of " << picture.pixels.size() << " bytes differ";
  }
}

TEST(Picture, PreparesAsTorchvisionDoes) {
  for (const auto& row : table("prepared.tsv")) {
    SCOPED_TRACE(row[0] + " " + row[1]);
    const ImageSpec spec = spec_of(row[1]);
    const Npy<float> reference(references() + row[2]);
    const auto ours = prepared(spec, item_of(references() + row[0]));
    ASSERT_EQ(ours.size(), reference.values.size());
    const Difference found = difference(spec, ours, reference.values);
    const bool reduced = row[0].starts_with("large") || (row[0].ends_with(".jpg") && (row[1] == "padded" || row[1] == "grey"));
    RecordProperty(row[0] + " " + row[1], std::to_string(found.most_255) + " " + std::to_string(found.mean_255));
    if (reduced) { // decoded at a fraction of its size
      EXPECT_LE(found.most_255, 10);
      EXPECT_LE(found.mean_255, 0.6);
    } else if (row[1] == "tensor") { // torch interpolates in floating point and rounds nowhere
      EXPECT_LE(found.most_255, 1.01);
    } else {
      EXPECT_LE(found.most, 1e-6);
    }
  }
}

TEST(Picture, BytesAreTheFloatsBeforeNormalising) {
  for (const char* rule : {"imagenet", "padded", "letterbox", "grey"}) {
    SCOPED_TRACE(rule);
    ImageSpec spec = spec_of(rule);
    const Item item = item_of(references() + "china_q90.jpg");
    const auto floats = prepared(spec, item);
    const ImageLoader loader(spec, PixelForm::uint8_hwc);
    ASSERT_EQ(loader.row_bytes(), floats.size());
    std::vector<std::uint8_t> bytes(loader.row_bytes() + 1, 0xa5);
    loader.load(item, bytes.data());
    EXPECT_EQ(bytes.back(), 0xa5) << "written beyond the row";
    const auto channels = static_cast<std::size_t>(spec.channels);
    const std::size_t plane = static_cast<std::size_t>(spec.height) * static_cast<std::size_t>(spec.width);
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t i = 0; i < plane; ++i) {
        const double value = (bytes[i * channels + c] * spec.scale - spec.mean[c]) / spec.std[c];
        ASSERT_NEAR(floats[c * plane + i], value, 1e-6);
      }
  }
}

TEST(Picture, ShippedBytesAndFilesGiveTheSame) {
  const ImageSpec spec = spec_of("imagenet");
  for (const char* name : {"china_q90.jpg", "rgba.png", "lossy.webp", "lzw.tiff", "palette.bmp", "plain.gif"}) {
    const std::string path = references() + name;
    EXPECT_EQ(prepared(spec, item_of(path)), prepared(spec, shipped(read_file(path)))) << name;
  }
}

TEST(Picture, KindIsFoundByContentNotByName) {
  const std::string path = references() + "really_a_png.jpg";
  std::ofstream(path, std::ios::binary) << read_file(references() + "rgb.png");
  EXPECT_EQ(prepared(spec_of("imagenet"), item_of(path)), prepared(spec_of("imagenet"), item_of(references() + "rgb.png")));
}

TEST(Picture, SameBitsFromManyThreadsAndAtAnyAddress) {
  const std::vector<std::string> names{"china_q90.jpg", "orientation_6.jpg", "flower_420_progressive.jpg",
                                       "rgba.png",      "lossy.webp",        "large_odd.jpg"};
  const ImageSpec spec = spec_of("imagenet");
  const ImageLoader loader(spec, PixelForm::float_chw);
  std::map<std::string, std::vector<float>> expected;
  for (const auto& name : names) expected[name] = prepared(spec, item_of(references() + name));

  std::vector<int> wrong(6, 0);
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t)
    threads.emplace_back([&, t] {
      std::vector<char> memory(loader.row_bytes() + 64);
      for (int round = 0; round < 12; ++round) {
        const auto& name = names[static_cast<std::size_t>(round * 5 + t) % names.size()];
        char* out = memory.data() + (round * 7 + t) % 61; // any address, not even a multiple of 4
        loader.load(item_of(references() + name), out);
        wrong[static_cast<std::size_t>(t)] += std::memcmp(out, expected[name].data(), loader.row_bytes()) != 0;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(6, 0));
}

TEST(Picture, AnInterruptedPictureLeavesNothingBehind) {
  const ImageSpec spec = spec_of("imagenet");
  const std::string whole = read_file(references() + "china_q90.jpg");
  const auto expected = prepared(spec, shipped(whole));
  EXPECT_THROW(prepared(spec, shipped(whole.substr(0, whole.size() / 2))), std::exception);
  EXPECT_EQ(prepared(spec, shipped(whole)), expected);
}

TEST(Picture, ReferencesCoverEveryKind) {
  std::map<std::string, int> kinds;
  for (const auto& row : table("pictures.tsv"))
    for (const char* kind : {".jpg", ".png", ".webp", ".bmp", ".tiff", ".gif"}) kinds[kind] += ends_with(row[0], kind);
  EXPECT_GE(kinds[".jpg"], 20);
  EXPECT_GE(kinds[".png"], 14);
  EXPECT_GE(kinds[".webp"], 5);
  EXPECT_GE(kinds[".bmp"], 6);
  EXPECT_GE(kinds[".tiff"], 10);
  EXPECT_GE(kinds[".gif"], 4);
}

} // namespace
} // namespace mgpu::test
