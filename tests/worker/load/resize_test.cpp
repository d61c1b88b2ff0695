#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "mgpu/error.hpp"
#include "worker/load/pictures.hpp"

namespace mgpu::test {
namespace {

Interpolation filter_of(const std::string& name) {
  static const std::map<std::string, Interpolation> filters{{"nearest", Interpolation::nearest},
                                                            {"bilinear", Interpolation::bilinear},
                                                            {"bicubic", Interpolation::bicubic},
                                                            {"lanczos", Interpolation::lanczos}};
  return filters.at(name);
}

TEST(ResizePicture, HasPillowsBits) {
  std::map<std::string, int> checked;
  for (const auto& row : table("resized.tsv")) {
    SCOPED_TRACE(row[4]);
    const Picture resized = resize(picture_of(row[0]), std::stoi(row[1]), std::stoi(row[2]), filter_of(row[3]));
    const Picture wanted = picture_of(row[4]);
    EXPECT_EQ(resized.height, wanted.height);
    EXPECT_EQ(resized.width, wanted.width);
    EXPECT_EQ(resized.channels, wanted.channels);
    EXPECT_TRUE(resized.pixels == wanted.pixels);
    ++checked[row[3]];
  }
  for (const auto& [filter, count] : checked) EXPECT_GE(count, 40) << filter;
  EXPECT_EQ(checked.size(), 4u);
}

TEST(ResizePicture, WithoutAntialiasItIsTorchsInterpolate) {
  // torch rounds nowhere; two roundings, and bicubic's values beyond 0 and 255, are cut after the first pass.
  const std::map<std::string, double> most{{"bilinear", 1.01}, {"bicubic", 40}, {"lanczos", 0}};
  const std::map<std::string, double> mean{{"bilinear", 0.5}, {"bicubic", 0.6}, {"lanczos", 0}};
  for (const auto& row : table("plain.tsv")) {
    SCOPED_TRACE(row[4]);
    const Picture resized = resize(picture_of(row[0]), std::stoi(row[1]), std::stoi(row[2]), filter_of(row[3]), false);
    const Npy<float> wanted(references() + row[4]);
    ASSERT_EQ(resized.pixels.size(), wanted.values.size());
    double largest = 0, sum = 0;
    for (std::size_t i = 0; i < wanted.values.size(); ++i) {
      const double apart = std::fabs(static_cast<double>(resized.pixels[i]) - static_cast<double>(wanted.values[i]));
      largest = std::max(largest, apart);
      sum += apart;
    }
    RecordProperty(row[4], std::to_string(largest) + " " + std::to_string(sum / static_cast<double>(wanted.values.size())));
    EXPECT_LE(largest, most.at(row[3]));
    EXPECT_LE(sum / static_cast<double>(wanted.values.size()), mean.at(row[3]));
  }
}

TEST(ResizePicture, EnlargingNeedsNoAntialias) {
  const Picture photo = picture_of("resize_photo.npy");
  for (const auto filter : {Interpolation::bilinear, Interpolation::lanczos, Interpolation::nearest})
    EXPECT_TRUE(resize(photo, 200, 301, filter, true).pixels == resize(photo, 200, 301, filter, false).pixels);
}

TEST(ResizePicture, ImpossibleSizesAreRefused) {
  const Picture photo = picture_of("resize_photo.npy");
  EXPECT_THROW(resize(photo, 0, 5, Interpolation::bilinear), Error);
  EXPECT_THROW(resize(photo, 5, -1, Interpolation::bilinear), Error);
  EXPECT_THROW(resize(Picture{}, 5, 5, Interpolation::bilinear), Error);
  Picture damaged = photo;
  damaged.pixels.pop_back();
  EXPECT_THROW(resize(damaged, 5, 5, Interpolation::bilinear), Error);
  damaged = photo;
  damaged.channels = 4;
  EXPECT_THROW(resize(damaged, 5, 5, Interpolation::bilinear), Error);
}

} // namespace
} // namespace mgpu::test
