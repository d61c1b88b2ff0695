#include "mgpu/augmentation.hpp"

#include <gmock/gmock.h>

#include "mgpu/error.hpp"

namespace mgpu {
namespace {

using testing::HasSubstr;

std::string refusal(const std::string& text, bool pictures) {
  try {
    Augmentation::read(text, pictures);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "nothing was refused";
}

TEST(Augmentation, WordsHaveAmounts) {
  EXPECT_FALSE(Augmentation::read("", true).any());
  EXPECT_FALSE(Augmentation::read("none", false).any());
  EXPECT_EQ(Augmentation::read("crop, flip,colour=0.2", true), (Augmentation{.crop = 0.08, .flip = 0.5, .colour = 0.2}));
  EXPECT_EQ(Augmentation::read("crop,flip,colour", true), Augmentation::read("auto", true));
  EXPECT_EQ(Augmentation::read("auto", false), (Augmentation{.time_mask = 0.1, .frequency_mask = 0.2, .gain = 6}));
}

TEST(Augmentation, WrongWordsAreNamed) {
  EXPECT_THAT(refusal("flip,blur", true), HasSubstr("--augment blur: for pictures there are crop, flip, colour"));
  EXPECT_THAT(refusal("flip", false), HasSubstr("for recordings there are time_mask, frequency_mask, gain"));
  for (const char* text : {"crop=", "crop=0", "crop=1.5", "crop=x", "crop=0.5x"})
    EXPECT_THAT(refusal(text, true), HasSubstr("a number above 0, at most 1")) << text;
}

} // namespace
} // namespace mgpu
