#include <set>

#include "common/bundle/specs.hpp"

namespace mgpu {

CtcSpec read_ctc_spec(const JsonReader& json) {
  CtcSpec spec;
  json.read("vocabulary", spec.vocabulary);
  if (spec.vocabulary.size() < 2) json.fail("vocabulary", "the text of two classes or more is expected, the blank's among them");
  const int last = static_cast<int>(spec.vocabulary.size()) - 1;
  int blank = 0;
  json.read("blank", blank, 0, last);
  spec.blank = blank;
  json.read("frame_seconds", spec.frame_seconds);
  if (!(spec.frame_seconds > 0)) json.fail("frame_seconds", "the seconds from one output frame to the next are expected");
  std::set<std::string> seen;
  for (int i = 0; i <= last; ++i) {
    const std::string& symbol = spec.vocabulary[static_cast<std::size_t>(i)];
    if (i == blank) continue;
    if (symbol.empty()) json.fail("vocabulary", fmt::format("class {} has no text and is not the blank", i));
    if (!seen.insert(symbol).second) json.fail("vocabulary", fmt::format("'{}' stands there twice", symbol));
  }
  return spec;
}

} // namespace mgpu
