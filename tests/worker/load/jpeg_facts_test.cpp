// Which pictures may be decoded on the GPU, decided by their header alone.
#include "worker/load/image/jpeg_facts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdio>
// jpeglib.h needs size_t and FILE from above.
#include <jpeglib.h>

#include "mgpu/error.hpp"
#include "mgpu/load.hpp"
#include "worker/load/references.hpp"

namespace mgpu::test {
namespace {

using testing::HasSubstr;

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string obstacle(const std::string& bytes) {
  return std::string(worker::load::nvjpeg_obstacle(worker::load::jpeg_facts(bytes_of(bytes), {})));
}

std::string reference(const char* name) {
  return read_file(references() + name);
}

/// An 8 × 8 JPEG as libjpeg writes it after `configure`.
template <typename Configure>
std::string encoded(Configure configure) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &memory, &size);
  info.image_width = info.image_height = 8;
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  configure(info);
  jpeg_start_compress(&info, TRUE);
  unsigned char line[24] = {200, 30, 60};
  for (JSAMPROW row = line; info.next_scanline < info.image_height;) jpeg_write_scanlines(&info, &row, 1);
  jpeg_finish_compress(&info);
  std::string bytes(reinterpret_cast<char*>(memory), size);
  jpeg_destroy_compress(&info);
  std::free(memory);
  return bytes;
}

/// Its last scan again and again: each copy costs a pass over the picture, and few bytes.
TEST(Jpeg, ManyScansAreRefused) {
  const std::string once = encoded([](jpeg_compress_struct& info) { jpeg_simple_progression(&info); });
  const std::size_t scan = once.rfind("\xff\xda"), end = once.rfind("\xff\xd9");
  ASSERT_NE(scan, std::string::npos);
  const auto decode = [&](int copies) {
    std::string bytes = once.substr(0, end);
    for (int i = 0; i < copies; ++i) bytes += once.substr(scan, end - scan);
    ImageSpec spec;
    spec.height = spec.width = 8;
    spec.resize = Resize::none;
    ImageLoader loader(spec, PixelForm::uint8_hwc);
    std::vector<std::byte> out(loader.row_bytes());
    Item item;
    item.path = "scans.jpg";
    item.shipped = true;
    item.content = bytes + "\xff\xd9";
    loader.load(item, out.data());
  };
  EXPECT_NO_THROW(decode(100));
  try {
    decode(2000);
    FAIL() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("more than 500 scans"), std::string::npos) << error.what();
  }
}

TEST(JpegFacts, OrdinaryJpegsGoToTheGpu) {
  for (const char* name : {"china_q90.jpg", "flower_420_baseline.jpg", "flower_422_progressive.jpg", "flower_444_baseline.jpg",
                           "flower_restarts.jpg", "grey.jpg", "orientation_6.jpg", "one_pixel.jpg", "large.jpg"})
    EXPECT_EQ(obstacle(reference(name)), "") << name;
}

TEST(JpegFacts, OthersStayOnTheCpuAndSayWhy) {
  EXPECT_EQ(obstacle(reference("cmyk.jpg")), "CMYK JPEG");
  for (const char* name : {"rgb.png", "lossy.webp", "rgb.bmp", "plain.gif", "rgb.tiff"})
    EXPECT_EQ(obstacle(reference(name)), "no JPEG") << name;
  EXPECT_EQ(obstacle("\xff\xd8"), "no JPEG");
  EXPECT_EQ(obstacle(encoded([](jpeg_compress_struct&) {})), "");
  EXPECT_EQ(obstacle(encoded([](jpeg_compress_struct& info) { jpeg_set_colorspace(&info, JCS_RGB); })),
            "JPEG in an unusual colour space");
  EXPECT_EQ(obstacle(encoded([](jpeg_compress_struct& info) { info.arith_code = TRUE; })), "arithmetically coded JPEG");
  const std::string whole = reference("china_q90.jpg");
  EXPECT_EQ(obstacle(whole.substr(0, whole.size() / 2)), "JPEG without an end");
}

TEST(JpegFacts, HugePicturesStayOnTheCpu) {
  worker::load::JpegFacts facts;
  facts.width = 8000, facts.height = 8000;
  EXPECT_EQ(worker::load::nvjpeg_obstacle(facts), "");
  ++facts.height;
  EXPECT_EQ(worker::load::nvjpeg_obstacle(facts), "more than 64 million pixels");
}

TEST(JpegFacts, SizesAndOrientationsAreTheFiles) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const auto facts =
        worker::load::jpeg_facts(bytes_of(reference(("orientation_" + std::to_string(orientation) + ".jpg").c_str())), {});
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->orientation, orientation);
    EXPECT_EQ(facts->width, 361); // make_references.py crops the photograph to this
    EXPECT_EQ(facts->height, 250);
  }
}

TEST(JpegFacts, BadHeadersAndLimitsHaveTheLoadersReasons) {
  const auto reason = [](const std::string& bytes, const LoadLimits& limits) {
    std::string from_facts = "nothing thrown", from_loader = "nothing thrown";
    try {
      worker::load::jpeg_facts(bytes_of(bytes), limits);
    } catch (const Error& error) {
      from_facts = error.what();
    }
    try {
      const ImageLoader loader(ImageSpec{}, PixelForm::uint8_hwc, limits);
      std::vector<char> out(loader.row_bytes());
      loader.load(shipped(bytes), out.data());
    } catch (const Error& error) {
      from_loader = error.what();
    }
    EXPECT_EQ(from_facts, from_loader);
    return from_facts;
  };
  LoadLimits limits;
  limits.pixels = 1000;
  EXPECT_THAT(reason(reference("china_q90.jpg"), limits), HasSubstr("limit 1000"));
  EXPECT_THAT(reason(reference("china_q90.jpg").substr(0, 100), {}), HasSubstr("truncated JPEG"));
  EXPECT_THAT(reason("\xff\xd8\xff\xe0 nonsense", {}), HasSubstr("JPEG"));
}

} // namespace
} // namespace mgpu::test
