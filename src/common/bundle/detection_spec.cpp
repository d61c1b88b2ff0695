#include <map>

#include "common/bundle/specs.hpp"

namespace mgpu {

namespace {

constexpr double usual_score = 0.25;
constexpr int usual_max = 300, most_classes = 1'000'000;

const std::map<std::string, YoloLayout> layouts{{"v8", YoloLayout::v8}, {"v5", YoloLayout::v5}};

void read_share(const JsonReader& json, std::string_view key, double& value) {
  json.read(key, value);
  if (!(value >= 0 && value < 1)) json.fail(key, "a number from 0 to less than 1 is expected");
}

/// Keys of a head that is decoded here; other networks have done it themselves.
void read_yolo(const JsonReader& json, std::size_t labels, DetectionSpec& spec) {
  std::string layout;
  json.read("layout", layout);
  const auto found = layouts.find(layout);
  if (found == layouts.end())
    json.fail("layout", "\"v8\" ([B, 4 + classes, boxes]) or \"v5\" ([B, boxes, 5 + classes], with an objectness) is expected");
  spec.yolo = found->second;
  int classes = static_cast<int>(labels);
  json.read("classes", classes, 1, most_classes);
  if (classes == 0) json.fail("classes", "the number of classes is expected, or \"labels\"");
  if (labels > 0 && classes != static_cast<int>(labels))
    json.fail("classes", fmt::format("{}, but there are {} labels", classes, labels));
  spec.classes = classes;
  read_share(json, "iou", spec.iou);
}

} // namespace

DetectionSpec read_detection_spec(const JsonReader& json, std::size_t labels) {
  json.allow({"decode", "layout", "classes", "score", "iou", "max"});
  DetectionSpec spec;
  spec.classes = static_cast<std::int64_t>(labels);
  std::string decode;
  json.read("decode", decode);
  int max = 0;
  if (decode == "yolo") {
    read_yolo(json, labels, spec);
    spec.score = usual_score;
    max = usual_max;
  } else if (!decode.empty()) {
    json.fail("decode", fmt::format("'{}' is not one of yolo", decode));
  } else {
    for (const char* key : {"layout", "classes", "iou"})
      if (json.has(key)) json.fail(key, "it belongs to \"decode\": \"yolo\"");
  }
  read_share(json, "score", spec.score);
  json.read("max", max, 1, 1 << 30);
  spec.max = max;
  return spec;
}

} // namespace mgpu
