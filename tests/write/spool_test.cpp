#include "write/spool.hpp"

#include <gtest/gtest.h>

#include "support/crc32c.hpp"
#include "write/samples.hpp"

namespace mgpu::write::test {
namespace {

wire::View bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

TEST(Crc32c, KnownValues) { // RFC 3720, B.4
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xE3069283u);
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\0'))), 0x8A9136AAu);
  EXPECT_EQ(crc32c(bytes_of("")), 0u);
  const std::string text = "a text longer than one step, cut at any place";
  for (std::size_t cut = 0; cut <= text.size(); ++cut)
    EXPECT_EQ(crc32c(bytes_of(text).subspan(cut), crc32c(bytes_of(text).first(cut))), crc32c(bytes_of(text)));
}

TEST(Spool, FramesComeBackInAnyOrder) {
  const Folder folder;
  std::vector<std::uint64_t> places;
  {
    Spool spool(folder / "s", RawFile::Mode::create);
    for (int i = 0; i < 300; ++i)
      places.push_back(spool.append(FrameKind::columns, i, bytes_of(std::string(i * 40, 'a' + i % 26))));
    const std::string large(3u << 20, 'L');
    places.push_back(spool.append(FrameKind::batch, 7, bytes_of(large)));
    spool.commit();
  }
  const Spool spool(folder / "s", RawFile::Mode::read);
  Frame frame;
  EXPECT_EQ(spool.read(places[300], frame), spool.end());
  EXPECT_EQ(frame.payload().size(), 3u << 20);
  for (int i = 299; i >= 0; --i) {
    EXPECT_EQ(spool.read(places[i], frame), places[i + 1]);
    EXPECT_EQ(frame.rank(), i);
    EXPECT_EQ(frame.kind(), FrameKind::columns);
    const std::string expected(i * 40, 'a' + i % 26);
    ASSERT_EQ(frame.payload().size(), expected.size());
    EXPECT_TRUE(std::equal(frame.payload().begin(), frame.payload().end(), bytes_of(expected).begin()));
  }
}

TEST(Spool, TornAndDamagedFramesAreRefused) {
  const Folder folder;
  std::uint64_t end = 0;
  {
    Spool spool(folder / "s", RawFile::Mode::create);
    spool.append(FrameKind::columns, 0, bytes_of("payload of some length, more than a line of the cache to be sure of it"));
    spool.commit();
    end = spool.end();
  }
  Frame frame;
  for (std::uint64_t place = 0; place < 64 + 70; ++place) {
    RawFile file(folder / "s", RawFile::Mode::modify);
    std::byte old, changed;
    file.read_at(place, &old, 1);
    changed = old ^ std::byte{0x10};
    file.write_at(place, wire::View(&changed, 1));
    EXPECT_THROW(Spool(folder / "s", RawFile::Mode::read).read(0, frame), Error) << place;
    file.write_at(place, wire::View(&old, 1));
  }
  EXPECT_EQ(Spool(folder / "s", RawFile::Mode::read).read(0, frame), end);
  fs::resize_file(folder / "s", end - 64);
  EXPECT_THROW(Spool(folder / "s", RawFile::Mode::read).read(0, frame), Error);
}

TEST(RowStage, MergesAndKeepsTheLastOfWhatOverlaps) {
  const Folder folder;
  RawFile file(folder / "f", RawFile::Mode::create);
  RowStage stage(file);
  std::string expected(100000, '.');
  std::string initial = expected;
  file.write_at(0, bytes_of(initial));
  const auto put = [&](std::size_t at, const std::string& text) {
    stage.write_at(at, bytes_of(text));
    expected.replace(at, text.size(), text);
  };
  for (std::size_t i = 0; i < 5000; ++i)
    put((i * 7919 % 9000) * 10, std::string(10, static_cast<char>('a' + i % 26))); // apart, many
  stage.flush();
  put(50, std::string(100, 'X'));
  put(20, std::string(50, 'Y'));
  put(100, std::string(10, 'Z'));
  put(0, std::string(20, 'W'));
  stage.flush();
  std::string found(expected.size(), ' ');
  file.read_at(0, reinterpret_cast<std::byte*>(found.data()), found.size());
  EXPECT_EQ(found, expected);
}

TEST(RowStage, LargeWritesDoNotOvertakeSmallOnes) {
  const Folder folder;
  RawFile file(folder / "f", RawFile::Mode::create);
  RowStage stage(file);
  stage.write_at(5, bytes_of("small"));
  stage.write_at(0, bytes_of(std::string(RowStage::direct_bytes, 'L')));
  stage.flush();
  char found[12] = {};
  file.read_at(0, reinterpret_cast<std::byte*>(found), 11);
  EXPECT_STREQ(found, "LLLLLLLLLLL");
}

} // namespace
} // namespace mgpu::write::test
