#include "mgpu/augmentation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "common/bundle/specs.hpp"
#include "mgpu/error.hpp"

namespace mgpu {

namespace {

/// A kind of augmentation in --augment.
struct Kind {
  std::string_view name;
  bool pictures;
  double usual, most;
  double Augmentation::*amount;
};

constexpr Kind kinds[] = {
    {"crop", true, 0.08, 1, &Augmentation::crop},
    {"flip", true, 0.5, 1, &Augmentation::flip},
    {"colour", true, 0.4, 1, &Augmentation::colour},
    {"time_mask", false, 0.1, 1, &Augmentation::time_mask},
    {"frequency_mask", false, 0.2, 1, &Augmentation::frequency_mask},
    {"gain", false, 6, 60, &Augmentation::gain},
};

void read_word(const std::string& word, bool pictures, Augmentation& augmentation) {
  const std::string name = word.substr(0, word.find('='));
  const Kind* kind = std::find_if(std::begin(kinds), std::end(kinds),
                                  [&](const Kind& each) { return each.pictures == pictures && each.name == name; });
  if (kind == std::end(kinds)) {
    std::vector<std::string_view> known;
    for (const Kind& each : kinds)
      if (each.pictures == pictures) known.push_back(each.name);
    throw usage_error(
        fmt::format("--augment {}: for {} there are {}", word, pictures ? "pictures" : "recordings", fmt::join(known, ", ")));
  }
  double amount = kind->usual;
  if (name.size() < word.size()) {
    const char *begin = word.data() + name.size() + 1, *end = word.data() + word.size();
    const auto [stop, problem] = std::from_chars(begin, end, amount);
    if (problem != std::errc() || stop != end || !(amount > 0) || amount > kind->most)
      throw usage_error(fmt::format("--augment {}: a number above 0, at most {}, is expected after '='", word, kind->most));
  }
  augmentation.*(kind->amount) = amount;
}

} // namespace

Augmentation Augmentation::read(const std::string& text, bool pictures) {
  Augmentation augmentation;
  if (text == "none") return augmentation;
  if (text == "auto") {
    for (const Kind& kind : kinds)
      if (kind.pictures == pictures) augmentation.*(kind.amount) = kind.usual;
    return augmentation;
  }
  for (const std::string& word : split_list(text)) read_word(word, pictures, augmentation);
  return augmentation;
}

} // namespace mgpu
