#include "common/support/text.hpp"

#include <gtest/gtest.h>

#include "common/support/clock.hpp"

namespace mgpu {
namespace {

TEST(Text, PathsAreShownOnOneLine) {
  EXPECT_EQ(show_path("a b.jpg"), "\"a b.jpg\"");
  EXPECT_EQ(show_path("new\nline"), "\"new\\nline\"");
  EXPECT_EQ(show_path("quote\""), "\"quote\\\"\"");
  EXPECT_EQ(show_path("한국어"), "\"한국어\"");
  EXPECT_EQ(show_path("bad\xff\xfe"), "\"bad\\xff\\xfe\"");
  EXPECT_EQ(show_path("\x1b[31m"), "\"\\x1b[31m\"") << "a name must not drive the terminal";
  EXPECT_EQ(show_path("\xc2\x9b"
                      "31m\xc2\xa0"),
            "\"\\xc2\\x9b31m\xc2\xa0\"")
      << "U+009B does what ESC [ does, U+00A0 does nothing";
  EXPECT_EQ(show_path("\xed\x95"), "\"\\xed\\x95\"") << "a torn character";
}

TEST(Text, TablesAlign) {
  EXPECT_EQ(table({{"rank", "host"}, {"0", "a"}, {"10", "bb"}}, {true, false}),
            "  rank  host\n"
            "     0  a\n"
            "    10  bb\n");
}

TEST(Clock, DurationsAndBytesForPeople) {
  EXPECT_EQ(human_duration(3.21), "3.21 s");
  EXPECT_EQ(human_duration(250), "4 min 10 s");
  EXPECT_EQ(human_duration(7500), "2 h 05 min");
  EXPECT_EQ(human_bytes(512), "512 B");
  EXPECT_EQ(human_bytes(4.2e6), "4.2 MB");
  EXPECT_EQ(utc_now().size(), std::string("2026-11-21T11:18:46Z").size());
}

} // namespace
} // namespace mgpu
