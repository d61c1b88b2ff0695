#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "mgpu/error.hpp"
#include "mgpu/load.hpp"
#include "worker/load/references.hpp"

namespace mgpu::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string reason_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << "a reason is one line: " << error.what();
    return error.what();
  }
  return "no error";
}

std::string picture_reason(const Item& item, LoadLimits limits = {}) {
  const ImageLoader loader(ImageSpec{}, PixelForm::float_chw, limits);
  std::vector<char> out(loader.row_bytes());
  return reason_of([&] { loader.load(item, out.data()); });
}

std::string sound_reason(const Item& item, LoadLimits limits = {}) {
  const AudioLoader loader(AudioSpec{}, limits);
  std::int64_t length = 0;
  return reason_of([&] { loader.load(item, length); });
}

std::string big_endian(std::uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

std::string little_endian(std::uint32_t value, int size = 4) {
  std::string text;
  for (int i = 0; i < size; ++i) text.push_back(static_cast<char>(value >> 8 * i));
  return text;
}

std::string wav_header(std::uint32_t data_bytes, std::uint32_t rate = 8000) {
  return "RIFF" + little_endian(36 + data_bytes) + "WAVEfmt " + little_endian(16) + little_endian(1, 2) + little_endian(1, 2) +
         little_endian(rate) + little_endian(rate) + little_endian(1, 2) + little_endian(8, 2) + "data" +
         little_endian(data_bytes);
}

/// A folder of this test's own, gone afterwards.
class BadInput : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("mgpu_load_test_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  Item file(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return item_of((folder_ / name).string());
  }
  std::filesystem::path folder_;
};

TEST_F(BadInput, WhatCannotBeReadHasAReason) {
  std::filesystem::create_directory(folder_ / "folder.wav");
  ASSERT_EQ(::mkfifo((folder_ / "pipe.png").c_str(), 0600), 0);
  for (const auto& reason : {picture_reason, sound_reason}) {
    EXPECT_EQ(reason(item_of((folder_ / "missing.png").string()), {}), "no such file");
    EXPECT_EQ(reason(item_of(""), {}), "no such file");
    EXPECT_EQ(reason(item_of((folder_ / "folder.wav").string()), {}), "a folder, not a file");
    EXPECT_EQ(reason(item_of((folder_ / "pipe.png").string()), {}), "not a regular file");
    EXPECT_EQ(reason(file("empty.png", ""), {}), "empty file");
    EXPECT_EQ(reason(shipped(""), {}), "empty file");
    LoadLimits tight;
    tight.file_bytes = 5;
    EXPECT_EQ(reason(file("six.png", "123456"), tight), "6 bytes, limit 5");
    EXPECT_EQ(reason(shipped("123456"), tight), "6 bytes, limit 5");
  }
  const Item secret = file("secret.png", "x");
  ASSERT_EQ(::chmod(secret.path.c_str(), 0), 0);
  // The superuser may read anything; everybody else is told.
  EXPECT_THAT(picture_reason(secret), ::geteuid() == 0 ? StartsWith("not a picture") : StartsWith("permission denied"));
}

TEST_F(BadInput, TextIsNeitherPictureNorRecording) {
  const Item text = file("text.png", "hello world, this is plain text\nwith lines\n");
  EXPECT_EQ(picture_reason(text),
            "not a picture: starts with \"hello world, thi\", which is no JPEG, PNG, WebP, TIFF, GIF or BMP");
  EXPECT_THAT(sound_reason(text), StartsWith("not a recording: starts with \"hello world, thi\""));
  EXPECT_THAT(sound_reason(item_of(references() + "rgb.png")),
              testing::AnyOf(HasSubstr("no audio stream"), StartsWith("not a recording")));
  EXPECT_THAT(picture_reason(item_of(references() + "speech.wav")), StartsWith("not a picture: starts with bytes 52 49 46 46"));
  EXPECT_THAT(sound_reason(file("list.m3u8", "#EXTM3U\n#EXTINF:10,\n/usr/share/sounds/alsa/Noise.wav\n")),
              StartsWith("not a recording"));
}

TEST_F(BadInput, HugePicturesAreRefusedFromTheirHeaders) {
  const std::string png = std::string("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16) + big_endian(60000) + big_endian(60000) +
                          std::string("\x08\x02\0\0\0", 5) + std::string(100, 0);
  EXPECT_EQ(picture_reason(shipped(png)), "60000x60000 pixels, limit 200000000");
  const std::string bmp = "BM" + std::string(12, 0) + little_endian(40) + little_endian(60000) + little_endian(60000) +
                          little_endian(1, 2) + little_endian(24, 2) + std::string(30, 0);
  EXPECT_EQ(picture_reason(shipped(bmp)), "60000x60000 pixels, limit 200000000");
  const std::string gif = "GIF89a" + little_endian(60000, 2) + little_endian(60000, 2) + std::string(20, 0);
  EXPECT_EQ(picture_reason(shipped(gif)), "60000x60000 pixels, limit 200000000");
  LoadLimits tight;
  tight.pixels = 100 * 100;
  for (const char* name : {"china_q90.jpg", "rgb.png", "lossy.webp", "rgb.tiff", "rgb.bmp", "plain.gif"})
    EXPECT_THAT(picture_reason(item_of(references() + name), tight), HasSubstr("pixels, limit 10000")) << name;
}

TEST_F(BadInput, WholePicturesInMemoryHaveALimit) {
  LoadLimits tight;
  tight.memory_bytes = 20'000;
  for (const char* name :
       {"flower_420_progressive.jpg", "interlaced.png", "lossy.webp", "rgb.tiff", "lzw.tiff", "plain.gif", "orientation_6.jpg"})
    EXPECT_THAT(picture_reason(item_of(references() + name), tight), HasSubstr("bytes of memory, limit 20000")) << name;
  for (const char* name : {"china_q90.jpg", "rgb.png", "rgb.bmp"}) // these pass through row by row
    EXPECT_EQ(picture_reason(item_of(references() + name), tight), "no error") << name;
  tight.memory_bytes = 1'000;
  EXPECT_THAT(sound_reason(item_of(references() + "speech.wav"), tight), HasSubstr("bytes of memory"));
}

TEST_F(BadInput, CutOffPicturesAreNeverHalfPictures) {
  for (const char* name : {"china_q90.jpg", "flower_420_progressive.jpg", "cmyk.jpg", "orientation_6.jpg", "large.jpg", "rgb.png",
                           "interlaced.png", "palette.png", "deep_grey.png", "lossy.webp", "lossless.webp", "animated.webp",
                           "rgb.tiff", "lzw.tiff", "rgb.bmp", "palette.bmp", "runs.bmp", "plain.gif", "interlaced.gif"}) {
    const std::string whole = read_file(references() + name);
    for (const double part : {0.98, 0.9, 0.6, 0.3, 0.05}) {
      if (std::string(name) == "runs.bmp" && part > 0.95) continue; // its last bytes are no pixels
      const auto size = static_cast<std::size_t>(static_cast<double>(whole.size()) * part);
      if (std::string(name) == "animated.webp" && part > 0.4) continue;
      EXPECT_THAT(picture_reason(shipped(whole.substr(0, size))),
                  testing::AnyOf(HasSubstr("truncated"), HasSubstr("corrupt"), HasSubstr("not a picture")))
          << name << " cut to " << part;
    }
  }
  EXPECT_EQ(picture_reason(shipped(read_file(references() + "china_q90.jpg").substr(0, 20000))),
            "truncated JPEG: the file ends before the picture does");
}

TEST_F(BadInput, DamagedFilesNeverCrash) {
  // Every kind with bytes overwritten at fixed places: a reason or a picture, but an end.
  int refused = 0;
  for (const auto& row : table("pictures.tsv")) {
    const std::string whole = read_file(references() + row[0]);
    for (std::size_t round = 0; round < 24; ++round) {
      std::string damaged = whole;
      for (std::size_t i = 0; i < 1 + round % 5; ++i)
        damaged[(round * 7919 + i * 104729 + (round < 12 ? round * 5 : 0)) %
                (round < 12 ? std::min<std::size_t>(whole.size(), 200) : whole.size())] ^=
            static_cast<char>(1 + round * 11 + i * 37);
      refused += picture_reason(shipped(damaged)) != "no error";
    }
  }
  EXPECT_GT(refused, 100);
}

TEST_F(BadInput, RecordingsTooLongOrEmpty) {
  EXPECT_EQ(sound_reason(shipped(wav_header(0))), "zero samples");
  EXPECT_EQ(sound_reason(shipped(wav_header(4, 2'000'000'011) + "abcd")), "a sampling rate of 2000000011 Hz");
  // Ten hours by the header, of which nothing needs to exist; the file is sparse.
  const std::uint32_t ten_hours = 36000u * 8000u;
  const Item item = file("long.wav", wav_header(ten_hours));
  std::filesystem::resize_file(item.path, 44 + std::uintmax_t{ten_hours});
  EXPECT_EQ(sound_reason(item), "36000 s long, limit 14400 s");
  LoadLimits tight;
  tight.audio_seconds = 1.5;
  EXPECT_THAT(sound_reason(item_of(references() + "speech.wav"), tight), HasSubstr("limit 1.5 s"));
  EXPECT_THAT(sound_reason(item_of(references() + "music.mp3"), {4ull << 30, 1, 0.5}), HasSubstr("limit"));
}

TEST_F(BadInput, DamagedRecordingsHaveAReasonOrSamples) {
  std::string flac = read_file(references() + "flac.flac");
  for (std::size_t i = flac.size() / 3; i < flac.size() / 2; ++i) flac[i] = static_cast<char>(i * 31);
  EXPECT_THAT(sound_reason(shipped(flac)), StartsWith("corrupt recording at"));
  for (const char* name : {"speech.wav", "music.mp3", "opus.ogg", "vorbis.ogg", "aac.m4a", "flac.flac", "mulaw.wav"}) {
    const std::string whole = read_file(references() + name);
    for (std::size_t round = 0; round < 20; ++round) {
      std::string damaged = whole;
      for (std::size_t i = 0; i < 1 + round; ++i)
        damaged[(round * 7919 + i * 104729) % (round < 10 ? 300 : whole.size())] ^= static_cast<char>(1 + round * 11 + i * 37);
      sound_reason(shipped(damaged));
      EXPECT_NE(sound_reason(shipped(whole.substr(0, 20 + round))), "no error") << name;
    }
  }
}

TEST_F(BadInput, PicturesThatDoNotFitTheRule) {
  ImageSpec spec;
  spec.resize = Resize::none;
  const ImageLoader loader(spec, PixelForm::float_chw);
  std::vector<char> out(loader.row_bytes());
  EXPECT_EQ(reason_of([&] { loader.load(item_of(references() + "rgb.png"), out.data()); }),
            "500x375 pixels, the model takes 224x224 and \"resize\" is \"none\"");
  spec.resize = Resize::shorter;
  spec.center_crop = false;
  const ImageLoader uncropped(spec, PixelForm::float_chw);
  EXPECT_THAT(reason_of([&] { uncropped.load(item_of(references() + "rgb.png"), out.data()); }),
              HasSubstr("298x224 pixels after resizing"));
  spec.channels = 4;
  EXPECT_THROW(ImageLoader(spec, PixelForm::float_chw), Error);
}

} // namespace
} // namespace mgpu::test
