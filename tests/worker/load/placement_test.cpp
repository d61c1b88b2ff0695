#include <gtest/gtest.h>

#include "mgpu/load.hpp"
#include "worker/load/references.hpp"

namespace mgpu::test {
namespace {

Placement placed(const ImageSpec& spec, const std::string& name) {
  const ImageLoader loader(spec, PixelForm::uint8_hwc);
  std::vector<std::uint8_t> out(loader.row_bytes());
  return loader.load(item_of(references() + name), out.data());
}

ImageSpec spec_of(int height, int width, Resize resize) {
  ImageSpec spec;
  spec.height = height, spec.width = width, spec.resize = resize;
  return spec;
}

TEST(Placement, OfALetterboxIsTheResizeAndTheBars) {
  // ultralytics' LetterBox: ratio 321 / 500, so 321 x round(240.75); the bars are 79 rows, 39 of them above.
  const Placement letterbox = placed(spec_of(320, 321, Resize::letterbox), "china_q90.jpg");
  EXPECT_EQ(letterbox, (Placement{375, 500, 241.0 / 375, 321.0 / 500, 39, 0}));
  EXPECT_EQ(letterbox.to_original({0, 39, 321, 280}), (Box{0, 0, 500, 375}));
  EXPECT_EQ(letterbox.to_original({-5, 0, 400, 320}), (Box{0, 0, 500, 375})) << "clipped";
  const Box bar = letterbox.to_original({10, 3, 20, 30});
  EXPECT_EQ(bar.y1, bar.y2) << "nothing of a bar is in the picture";
  const Box box{100, 50, 301, 204}, back = letterbox.to_original(letterbox.to_model(box));
  EXPECT_NEAR(back.x1, box.x1, 1e-3);
  EXPECT_NEAR(back.y1, box.y1, 1e-3);
  EXPECT_NEAR(back.x2, box.x2, 1e-3);
  EXPECT_NEAR(back.y2, box.y2, 1e-3);
}

TEST(Placement, IsThatOfThePictureAsItIsSeen) {
  // 361 x 250 pixels as stored; orientations 5 to 8 turn them by 90 degrees.
  for (const int orientation : {1, 3, 6, 8}) {
    const Placement placement = placed(spec_of(100, 200, Resize::exact), "orientation_" + std::to_string(orientation) + ".jpg");
    const bool turned = orientation >= 5;
    EXPECT_EQ(placement.original_height, turned ? 361 : 250);
    EXPECT_EQ(placement.original_width, turned ? 250 : 361);
    EXPECT_EQ(placement.scale_y, 100.0 / placement.original_height);
    EXPECT_EQ(placement.scale_x, 200.0 / placement.original_width);
  }
}

TEST(Placement, OfACropIsBelowZeroAndOfAReducedPictureThatOfItsFullSize) {
  ImageSpec spec = spec_of(224, 224, Resize::shorter);
  spec.resize_to = 256;
  EXPECT_EQ(placed(spec, "china_q90.jpg"), (Placement{375, 500, 256.0 / 375, 341.0 / 500, -16, -58}));
  EXPECT_EQ(placed(spec, "large.jpg"), (Placement{2250, 3000, 256.0 / 2250, 341.0 / 3000, -16, -58}))
      << "decoded at a quarter of its size";
  spec = spec_of(75, 300, Resize::shorter);
  spec.resize_to = 60;
  EXPECT_EQ(placed(spec, "china_q90.jpg"), (Placement{375, 500, 60.0 / 375, 80.0 / 500, 7, 110})) << "padded with zeros";
}

} // namespace
} // namespace mgpu::test
