#include "mgpu/bundle.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

namespace mgpu {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* digits = R"({"schema": "mgpu-bundle/1", "model": "model.pt",
  "image": {"size": [8, 6], "resize": "exact", "channels": 1, "mean": [0.5], "std": 0.25, "interpolation": "bicubic", "antialias": false},
  "outputs": ["logits"], "labels": ["zero", "one"], "task": "classification", "x-note": "ours"})";

class BundleTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Bundle open(const std::string& json, const Config& flags = Config()) {
    std::ofstream(folder_ / "bundle.json") << json;
    return Bundle::open(folder_, flags);
  }
  std::string refusal(const std::string& json, const Config& flags = Config()) {
    try {
      open(json, flags);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      return error.what();
    }
    ADD_FAILURE() << "accepted: " << json;
    return "";
  }
  /// A bundle with one more key, at the top or in "image".
  static std::string with(const std::string& pointer, const nlohmann::json& value) {
    auto json = nlohmann::json::parse(digits);
    json[nlohmann::json::json_pointer(pointer)] = value;
    return json.dump();
  }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / "mgpu_bundle_test";
};

TEST_F(BundleTest, ReadsAFolder) {
  const Bundle bundle = open(digits);
  EXPECT_EQ(bundle.model, (folder_ / "model.pt").string());
  ASSERT_TRUE(bundle.image);
  EXPECT_EQ(bundle.image->height, 8);
  EXPECT_EQ(bundle.image->width, 6);
  EXPECT_EQ(bundle.image->resize, Resize::exact);
  EXPECT_EQ(bundle.image->interpolation, Interpolation::bicubic);
  EXPECT_FALSE(bundle.image->antialias);
  EXPECT_THAT(bundle.image->mean, ElementsAre(0.5));
  EXPECT_THAT(bundle.image->std, ElementsAre(0.25));
  EXPECT_FALSE(bundle.audio);
  EXPECT_THAT(bundle.outputs, ElementsAre("logits"));
  EXPECT_THAT(bundle.labels, ElementsAre("zero", "one"));
  EXPECT_EQ(bundle.task, "classification");
  EXPECT_EQ(bundle.json["x-note"], "ours");
  EXPECT_EQ(Bundle::open(folder_ / "bundle.json", Config()).model, bundle.model);
}

TEST_F(BundleTest, ReadsAudio) {
  const Bundle bundle = open(R"({"schema": "mgpu-bundle/1", "model": "m.pt",
    "audio": {"sample_rate": 8000, "seconds": null, "features": "log_mel", "mels": 40}})");
  ASSERT_TRUE(bundle.audio);
  EXPECT_EQ(bundle.audio->sample_rate, 8000);
  EXPECT_FALSE(bundle.audio->seconds);
  EXPECT_EQ(bundle.audio->features, AudioFeatures::log_mel);
  EXPECT_EQ(bundle.audio->mels, 40);
}

TEST_F(BundleTest, ATypoIsAnErrorThatNamesTheKey) {
  EXPECT_THAT(refusal(with("/lables", 1)), AllOf(HasSubstr("bundle.json"), HasSubstr("lables is not a known key")));
  EXPECT_THAT(refusal(with("/image/siz", 1)), HasSubstr("image.siz is not a known key"));
  EXPECT_THAT(refusal(with("/image/resize", "longer")), AllOf(HasSubstr("image.resize"), HasSubstr("'longer' is not one of")));
  EXPECT_THAT(refusal(with("/image/size", "big")), HasSubstr("image.size: a list of numbers is expected"));
  EXPECT_THAT(refusal(with("/image/size", {1, 2, 3})), HasSubstr("image.size: [height, width]"));
  EXPECT_THAT(refusal(with("/image/size", {0, 5})), HasSubstr("image.size"));
  EXPECT_THAT(refusal(with("/image/channels", 2)), HasSubstr("image.channels"));
  EXPECT_THAT(refusal(with("/image/std", 0)), HasSubstr("std"));
  EXPECT_THAT(refusal(with("/image/mean", {1, 2})), HasSubstr("2 numbers for 1 channels"));
  EXPECT_THAT(refusal(with("/schema", "mgpu-bundle/2")), HasSubstr("mgpu-bundle/1"));
  EXPECT_THAT(refusal(with("/labels", "none.txt")), HasSubstr("none.txt cannot be read"));
  EXPECT_THAT(refusal(with("/audio", nlohmann::json::object())), HasSubstr("either image or audio"));
  EXPECT_THAT(refusal("[1, 2"), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal("[1, 2]"), HasSubstr("an object"));
}

TEST_F(BundleTest, PartsOutsideAreRefused) {
  for (const char* outside : {"../w.pt", "/tmp/w.pt", "a/../../w.pt", ".."}) {
    EXPECT_THAT(refusal(with("/model", outside)), AllOf(HasSubstr("model: "), HasSubstr("lies outside the bundle"))) << outside;
    EXPECT_THAT(refusal(with("/labels", outside)), AllOf(HasSubstr("labels: "), HasSubstr("lies outside the bundle"))) << outside;
  }
  EXPECT_EQ(open(with("/model", "a/../net.pt")).model, (folder_ / "net.pt").string());
}

TEST_F(BundleTest, LabelsMayBeAFileBesideIt) {
  std::ofstream(folder_ / "names.txt") << "cat\r\ndog\n\n";
  EXPECT_THAT(open(with("/labels", "names.txt")).labels, ElementsAre("cat", "dog"));
}

TEST_F(BundleTest, FlagsOverrideWhereTheyAreGiven) {
  std::ofstream(folder_ / "mine.txt") << "a\nb\n";
  const Config flags({{"image-size", "32,16"},
                      {"resize", ""},
                      {"resize-to", 0},
                      {"channels", 3},
                      {"mean", "0.1, 0.2,0.3"},
                      {"scale", 0.0},
                      {"outputs", "scores"},
                      {"labels", (folder_ / "mine.txt").string()},
                      {"sample-rate", 0}});
  const Bundle bundle = open(digits, flags);
  EXPECT_EQ(bundle.image->height, 32);
  EXPECT_EQ(bundle.image->width, 16);
  EXPECT_EQ(bundle.image->resize, Resize::exact);
  EXPECT_THAT(bundle.image->mean, ElementsAre(0.1, 0.2, 0.3));
  EXPECT_THAT(bundle.image->std, ElementsAre(0.25, 0.25, 0.25));
  EXPECT_EQ(bundle.image->scale, 1.0 / 255.0);
  EXPECT_THAT(bundle.outputs, ElementsAre("scores"));
  EXPECT_THAT(bundle.labels, ElementsAre("a", "b"));
}

TEST_F(BundleTest, ABareModelNeedsAFlagThatSaysWhatItTakes) {
  const std::string file = folder_ / "net.pt";
  std::ofstream(file) << "x";
  const auto open_bare = [&](nlohmann::json flags) { return Bundle::open(file, Config(std::move(flags))); };
  EXPECT_EQ(open_bare({{"image-size", "224"}, {"sample-rate", 0}}).image->width, 224);
  EXPECT_EQ(open_bare({{"image-size", ""}, {"sample-rate", 16000}, {"audio-seconds", 1.5}}).audio->seconds, 1.5);
  EXPECT_THROW(open_bare({{"image-size", ""}, {"sample-rate", 0}}), Error);
  EXPECT_THROW(open_bare({{"image-size", "224"}, {"sample-rate", 8000}}), Error);
  EXPECT_THROW(open_bare({{"image-size", "wide"}}), Error);
  EXPECT_THROW(open_bare({{"image-size", "1,2,3"}}), Error);
  EXPECT_THROW(open_bare({{"image-size", "0"}}), Error);
  EXPECT_THROW(Bundle::open(folder_ / "none.pt", Config()), Error);
}

TEST_F(BundleTest, ReadsWhatFramesOfSpeechSay) {
  const nlohmann::json speech{{"schema", "mgpu-bundle/1"},
                              {"model", "m.pt"},
                              {"audio", {{"sample_rate", 8000}}},
                              {"task", "ctc"},
                              {"frame_seconds", 0.02},
                              {"vocabulary", {"a", " ", "ch", ""}},
                              {"blank", 3}};
  const Bundle bundle = open(speech.dump());
  ASSERT_TRUE(bundle.ctc);
  EXPECT_THAT(bundle.ctc->vocabulary, ElementsAre("a", " ", "ch", ""));
  EXPECT_EQ(bundle.ctc->blank, 3);
  EXPECT_EQ(bundle.ctc->frame_seconds, 0.02);
  EXPECT_FALSE(open(digits).ctc);
  const auto changed = [&](const char* key, const nlohmann::json& value) {
    auto json = speech;
    json[key] = value;
    return json.dump();
  };
  EXPECT_THAT(refusal(changed("blank", 4)), HasSubstr("bundle.json: blank: a whole number from 0 to 3"));
  EXPECT_THAT(refusal(changed("blank", 0)), HasSubstr("vocabulary: class 3 has no text and is not the blank"));
  EXPECT_THAT(refusal(changed("vocabulary", {"a", "b", "a", ""})), HasSubstr("vocabulary: 'a' stands there twice"));
  EXPECT_THAT(refusal(changed("vocabulary", {"a"})), HasSubstr("vocabulary: the text of two classes or more"));
  EXPECT_THAT(refusal(changed("frame_seconds", 0)), HasSubstr("frame_seconds: "));
}

nlohmann::json detector(const nlohmann::json& keys) {
  return {{"schema", "mgpu-bundle/1"}, {"model", "m.pt"}, {"image", {{"size", 64}}}, {"task", "detection"}, {"detection", keys}};
}

TEST_F(BundleTest, ReadsWhatADetectorGives) {
  const auto json = detector({{"decode", "yolo"}, {"layout", "v5"}, {"classes", 3}, {"score", 0.1}, {"max", 10}});
  const Bundle yolo = open(json.dump());
  ASSERT_TRUE(yolo.detection);
  EXPECT_EQ(yolo.detection->yolo, YoloLayout::v5);
  EXPECT_EQ(yolo.detection->classes, 3);
  EXPECT_EQ(yolo.detection->score, 0.1);
  EXPECT_EQ(yolo.detection->iou, 0.7);
  EXPECT_EQ(yolo.detection->max, 10);
  auto named = detector({{"decode", "yolo"}, {"layout", "v8"}});
  named["labels"] = {"cat", "dog"};
  const Bundle labelled = open(named.dump());
  EXPECT_EQ(labelled.detection->yolo, YoloLayout::v8);
  EXPECT_EQ(labelled.detection->classes, 2);
  EXPECT_EQ(labelled.detection->score, 0.25);
  EXPECT_EQ(labelled.detection->max, 300);
  nlohmann::json embedded = labelled.embedded_json();
  embedded["model"] = "m.pt";
  EXPECT_EQ(open(embedded.dump()).detection->classes, 2);

  auto finished = detector(nullptr);
  finished.erase("detection");
  const Bundle rows = open(finished.dump());
  ASSERT_TRUE(rows.detection);
  EXPECT_FALSE(rows.detection->yolo);
  EXPECT_EQ(rows.detection->classes, 0);
  EXPECT_EQ(rows.detection->score, 0);
  EXPECT_EQ(rows.detection->max, 0);
  EXPECT_FALSE(open(digits).detection);
}

TEST_F(BundleTest, ADetectorsTypoIsAnErrorThatNamesTheKey) {
  const auto with_key = [](const char* key, const nlohmann::json& value) {
    nlohmann::json keys{{"decode", "yolo"}, {"layout", "v8"}, {"classes", 3}};
    keys[key] = value;
    return detector(keys).dump();
  };
  EXPECT_THAT(refusal(with_key("layuot", 1)), HasSubstr("bundle.json: detection.layuot is not a known key"));
  EXPECT_THAT(refusal(with_key("decode", "ssd")), HasSubstr("detection.decode: 'ssd' is not one of yolo"));
  EXPECT_THAT(refusal(with_key("decode", 1)), HasSubstr("detection.decode: a text is expected"));
  EXPECT_THAT(refusal(with_key("layout", nullptr)), HasSubstr("detection.layout: \"v8\""));
  EXPECT_THAT(refusal(with_key("layout", "v6")), HasSubstr("detection.layout: \"v8\""));
  EXPECT_THAT(refusal(with_key("classes", nullptr)), HasSubstr("detection.classes: the number of classes is expected"));
  EXPECT_THAT(refusal(with_key("classes", 0)), HasSubstr("detection.classes: a whole number from 1"));
  EXPECT_THAT(refusal(with_key("score", 1)), HasSubstr("detection.score: a number from 0 to less than 1"));
  EXPECT_THAT(refusal(with_key("score", "0.1")), HasSubstr("detection.score: a number is expected"));
  EXPECT_THAT(refusal(with_key("iou", -0.1)), HasSubstr("detection.iou: a number from 0"));
  EXPECT_THAT(refusal(with_key("max", 0)), HasSubstr("detection.max: a whole number from 1"));
  EXPECT_THAT(refusal(detector({{"iou", 0.5}}).dump()), HasSubstr("detection.iou: it belongs to \"decode\""));
  EXPECT_THAT(refusal(detector("yolo").dump()), HasSubstr("an object { … } is expected"));
  auto json = detector({{"decode", "yolo"}, {"layout", "v8"}, {"classes", 3}});
  json["labels"] = {"a", "b"};
  EXPECT_THAT(refusal(json.dump()), HasSubstr("detection.classes: 3, but there are 2 labels"));
  json.erase("labels");
  std::ofstream(folder_ / "two.txt") << "a\nb\n";
  EXPECT_THAT(refusal(json.dump(), Config(nlohmann::json{{"labels", (folder_ / "two.txt").string()}})),
              HasSubstr("--labels: 2 names for a detector of 3 classes"));
  json["task"] = "classification";
  EXPECT_THAT(refusal(json.dump()), HasSubstr("detection: it belongs to \"task\": \"detection\""));
  json["task"] = "detection";
  json.erase("image");
  EXPECT_THAT(refusal(json.dump()), HasSubstr("task: a detector needs \"image\""));
}

TEST_F(BundleTest, EveryFilterHasAName) {
  for (const auto& [name, filter] : {std::pair("nearest", Interpolation::nearest),
                                     {"bilinear", Interpolation::bilinear},
                                     {"bicubic", Interpolation::bicubic},
                                     {"lanczos", Interpolation::lanczos}}) {
    const Bundle bundle = open(with("/image/interpolation", name));
    EXPECT_EQ(bundle.image->interpolation, filter);
    EXPECT_EQ(bundle.embedded_json()["image"]["interpolation"], name);
  }
}

// A trained .pt carries it; what it says must be what the bundle said, whatever was left out there.
TEST_F(BundleTest, WhatIsEmbeddedIsReadAgain) {
  for (const char* fed :
       {R"("image": {"size": 32})", R"("image": {"size": [32, 48], "resize_to": 50})", R"("audio": {"sample_rate": 8000})"}) {
    const Bundle bundle = open(std::string(R"({"schema": "mgpu-bundle/1", "model": "m.pt", "labels": ["a", "b"], )") + fed + "}");
    nlohmann::json embedded = bundle.embedded_json();
    EXPECT_FALSE(embedded.contains("model"));
    embedded["model"] = "m.pt";
    const Bundle again = open(embedded.dump());
    EXPECT_EQ(again.labels, bundle.labels);
    EXPECT_EQ(again.embedded_json(), bundle.embedded_json());
  }
}

} // namespace
} // namespace mgpu
