#include <gmock/gmock.h>

#include <filesystem>
#include <functional>

#include "mgpu/error.hpp"
#include "mgpu/load.hpp"
#include "worker/load/pictures.hpp"

namespace mgpu::test {
namespace {

using testing::HasSubstr;

const char* const names[] = {"photo", "grey", "noise", "edges", "pixel", "column"};

Picture decoded(std::string bytes, int channels) {
  return decode_picture(shipped(std::move(bytes)), channels);
}

TEST(Encode, JpegsAreThoseThatPillowWrites) {
  for (const auto& row : table("encoded.tsv"))
    EXPECT_TRUE(encode_jpeg(picture_of(row[0]), std::stoi(row[1])) == read_file(references() + row[2])) << row[2];
}

/// The files are opened with Pillow by check_encoded.py.
TEST(Encode, WithoutLossEveryPixelComesBack) {
  const std::string folder = references() + "written/";
  std::filesystem::create_directories(folder);
  const auto write = [&](const std::string& name, const std::string& bytes) {
    std::ofstream(folder + name, std::ios::binary) << bytes;
  };
  for (const std::string name : names) {
    SCOPED_TRACE(name);
    const Picture picture = picture_of("resize_" + name + ".npy");
    const std::string png = encode_png(picture), webp = encode_webp_lossless(picture);
    EXPECT_TRUE(decoded(png, picture.channels).pixels == picture.pixels);
    EXPECT_TRUE(decoded(webp, picture.channels).pixels == picture.pixels);
    EXPECT_TRUE(png == encode_png(picture)) << "the same bytes every time";
    EXPECT_TRUE(webp == encode_webp_lossless(picture)) << "the same bytes every time";
    write(name + ".npy", read_file(references() + "resize_" + name + ".npy"));
    write(name + ".png", png);
    write(name + ".lossless.webp", webp);
    for (const int quality : {10, 80, 100}) write(name + "." + std::to_string(quality) + ".webp", encode_webp(picture, quality));
  }
}

std::string refusal(const std::function<void()>& encode) {
  try {
    encode();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "accepted";
  return "";
}

Picture blank(int height, int width) {
  return {height, width, 1, std::vector<std::uint8_t>(static_cast<std::size_t>(height) * static_cast<std::size_t>(width))};
}

TEST(Encode, ImpossibleSizesAndQualitiesAreRefused) {
  EXPECT_THAT(refusal([] { encode_jpeg(blank(1, 65501)); }), HasSubstr("65501x1 pixels: a JPEG has at most 65500 on a side"));
  EXPECT_THAT(refusal([] { encode_webp(blank(16384, 1)); }), HasSubstr("a WebP has at most 16383 on a side"));
  EXPECT_THAT(refusal([] { encode_webp_lossless(blank(16384, 1)); }), HasSubstr("a WebP has at most 16383 on a side"));
  EXPECT_EQ(decoded(encode_jpeg(blank(1, 65500)), 1).width, 65500);
  EXPECT_EQ(decoded(encode_png(blank(1, 1'000'001)), 1).width, 1'000'001);
  for (const auto& encode : {std::function([](const Picture& picture) { encode_png(picture); }),
                             std::function([](const Picture& picture) { encode_jpeg(picture); }),
                             std::function([](const Picture& picture) { encode_webp(picture); })}) {
    EXPECT_THAT(refusal([&] { encode(Picture{}); }), HasSubstr("0x0 pixels: an empty picture"));
    EXPECT_THAT(refusal([&] {
                  encode({2, 2, 3, std::vector<std::uint8_t>(11)});
                }),
                HasSubstr("are 12 bytes, the picture has 11"));
    EXPECT_THAT(refusal([&] { encode({2, 2, 4, std::vector<std::uint8_t>(16)}); }), HasSubstr("4 channels"));
  }
  EXPECT_THAT(refusal([] { encode_jpeg(blank(2, 2), 0); }), HasSubstr("from 1 to 100, not 0"));
  EXPECT_THAT(refusal([] { encode_webp(blank(2, 2), 101); }), HasSubstr("from 1 to 100, not 101"));
}

} // namespace
} // namespace mgpu::test
