#include "agent/write/journal/journal.hpp"

#include <gtest/gtest.h>

#include "agent/write/samples.hpp"
#include "common/support/crc32c.hpp"

namespace mgpu::agent::write::test {
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

TEST(Journal, FramesComeBackInAnyOrder) {
  const Folder folder;
  std::vector<std::uint64_t> places;
  {
    Journal journal(folder / "s", RawFile::Mode::create);
    for (int i = 0; i < 300; ++i)
      places.push_back(journal.append(FrameKind::columns, bytes_of(std::string(i * 40, 'a' + i % 26))));
    const std::string large(3u << 20, 'L');
    places.push_back(journal.append(FrameKind::batch, bytes_of(large)));
    journal.commit();
  }
  Journal journal(folder / "s", RawFile::Mode::read);
  Frame frame;
  std::uint64_t at = 0;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(at, places[i]);
    EXPECT_TRUE(journal.find(at, frame));
  }
  EXPECT_TRUE(journal.find(at, frame));
  EXPECT_EQ(at, journal.end());
  EXPECT_FALSE(journal.find(at, frame));
  EXPECT_EQ(frame.payload().size(), 3u << 20);
  EXPECT_EQ(journal.damaged_bytes(), 0u);
  for (int i = 299; i >= 0; --i) {
    journal.read(places[i], frame);
    EXPECT_EQ(frame.kind(), FrameKind::columns);
    const std::string expected(i * 40, 'a' + i % 26);
    ASSERT_EQ(frame.payload().size(), expected.size());
    EXPECT_TRUE(std::equal(frame.payload().begin(), frame.payload().end(), bytes_of(expected).begin()));
  }
}

TEST(Journal, TornAndDamagedFramesAreRefused) {
  const Folder folder;
  {
    Journal journal(folder / "s", RawFile::Mode::create);
    journal.append(FrameKind::columns, bytes_of("payload of some length, more than a line of the cache to be sure of it"));
    journal.commit();
  }
  Frame frame;
  for (std::uint64_t place = 0; place < 64 + 70; ++place) {
    RawFile file(folder / "s", RawFile::Mode::modify);
    std::byte old, changed;
    file.read_at(place, &old, 1);
    changed = old ^ std::byte{0x10};
    file.write_at(place, wire::View(&changed, 1));
    EXPECT_THROW(Journal(folder / "s", RawFile::Mode::read).read(0, frame), Error) << place;
    std::uint64_t at = 0;
    EXPECT_FALSE(Journal(folder / "s", RawFile::Mode::read).find(at, frame)) << place;
    file.write_at(place, wire::View(&old, 1));
  }
  EXPECT_NO_THROW(Journal(folder / "s", RawFile::Mode::read).read(0, frame));
  fs::resize_file(folder / "s", 128);
  EXPECT_THROW(Journal(folder / "s", RawFile::Mode::read).read(0, frame), Error);
}

/// Texts of all whole frames of a journal.
std::vector<std::string> texts_in(const std::string& path) {
  Journal journal(path, RawFile::Mode::read);
  std::vector<std::string> texts;
  Frame frame;
  for (std::uint64_t at = 0; journal.find(at, frame);) texts.emplace_back(frame.text());
  return texts;
}

TEST(Journal, WhatStandsBehindADamagedFrameIsFound) {
  const Folder folder;
  std::vector<std::uint64_t> places;
  std::vector<std::string> expected;
  {
    Journal journal(folder / "s", RawFile::Mode::create);
    for (int i = 0; i < 50; ++i) {
      expected.push_back(std::string(static_cast<std::size_t>(i) * 37, static_cast<char>('a' + i % 26)));
      places.push_back(journal.append(FrameKind::batch, bytes_of(expected.back())));
    }
    journal.commit();
  }
  for (const std::uint64_t inside : {0, 8, 24, 70}) { // magic, length, place, payload of frame 30
    const std::string copy = folder / "copy";
    fs::copy_file(folder / "s", copy, fs::copy_options::overwrite_existing);
    const std::byte damage{0xA5};
    RawFile(copy, RawFile::Mode::modify).write_at(places[30] + inside, wire::View(&damage, 1));
    std::vector<std::string> rest = expected;
    rest.erase(rest.begin() + 30);
    EXPECT_EQ(texts_in(copy), rest) << inside;
    fs::resize_file(copy, places[49] + 100); // and its end is torn
    rest.pop_back();
    EXPECT_EQ(texts_in(copy), rest) << inside;
    Journal journal(copy, RawFile::Mode::modify);
    Frame frame;
    std::uint64_t at = 0;
    while (journal.find(at, frame)) {
    }
    EXPECT_EQ(journal.damaged_bytes(), (places[31] - places[30]) + 100);
    journal.cut(places[49]);
    journal.append(FrameKind::batch, bytes_of("new"));
    journal.commit();
    rest.push_back("new");
    EXPECT_EQ(texts_in(copy), rest) << inside;
  }
}

TEST(Journal, FramesOfOtherJournalsAndOtherPlacesAreNone) {
  const Folder folder;
  {
    Journal other(folder / "other", RawFile::Mode::create);
    other.append(FrameKind::batch, bytes_of("foreign"));
    other.commit();
    Journal journal(folder / "s", RawFile::Mode::create);
    journal.append(FrameKind::batch, bytes_of("own"));
    journal.commit();
  }
  wire::Buffer foreign(128), own(128);
  RawFile(folder / "other", RawFile::Mode::read).read_at(0, foreign.data(), foreign.size());
  RawFile file(folder / "s", RawFile::Mode::modify);
  file.read_at(0, own.data(), own.size());
  file.write_at(128, wire::View(own)); // a copy of itself, such as an item's text could hold
  file.write_at(256, wire::View(foreign));
  EXPECT_EQ(texts_in(folder / "s"), std::vector<std::string>{"own"});
}

TEST(Journal, RowsLeaveBeforeTheFramesThatSpeakOfThem) {
  const Folder folder;
  Journal journal(folder / "s", RawFile::Mode::create);
  int calls = 0;
  journal.before_writing([&] {
    ++calls;
    EXPECT_EQ(journal.file().size() % (1u << 20), 0u);
  });
  const std::string payload((1u << 20) - 64, 'x');
  for (int i = 0; i < 3; ++i) journal.append(FrameKind::batch, bytes_of(payload));
  EXPECT_EQ(calls, 2) << "the third frame waits";
  journal.commit();
  journal.commit();
  EXPECT_EQ(calls, 3);
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
} // namespace mgpu::agent::write::test
