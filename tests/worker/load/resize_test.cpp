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
  std::size_t bytes = 0, other = 0;
  for (const auto& row : table("plain.tsv")) {
    SCOPED_TRACE(row[4]);
    const Picture resized = resize(picture_of(row[0]), std::stoi(row[1]), std::stoi(row[2]), filter_of(row[3]), false);
    const Picture wanted = picture_of(row[4]);
    ASSERT_EQ(resized.pixels.size(), wanted.pixels.size());
    int most = 0;
    for (std::size_t i = 0; i < wanted.pixels.size(); ++i) {
      const int apart = std::abs(resized.pixels[i] - wanted.pixels[i]);
      most = std::max(most, apart);
      other += apart != 0;
    }
    bytes += wanted.pixels.size();
    EXPECT_LE(most, row[3] == "lanczos" ? 0 : 1); // coefficients of 22 bits beside doubles: halves may round the other way
  }
  EXPECT_LE(static_cast<double>(other), 0.001 * static_cast<double>(bytes));
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
