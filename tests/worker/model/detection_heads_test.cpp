#include "mgpu/detection_heads.hpp"
#include "worker/device/torch.hpp"

#include <gmock/gmock.h>

#include <any>
#include <array>
#include <limits>

#include "mgpu/error.hpp"

namespace mgpu::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

DetectionSpec yolo(YoloLayout layout, std::int64_t classes) {
  return {.yolo = layout, .classes = classes, .score = 0.25, .iou = 0.5, .max = 300};
}

/// A v8 head [1, 4 + 2, N] of boxes cx, cy, w, h, score of class 0, score of class 1.
torch::Tensor v8_head(const std::vector<std::array<float, 6>>& boxes) {
  torch::Tensor head = torch::empty({1, 6, static_cast<std::int64_t>(boxes.size())});
  for (std::size_t i = 0; i < boxes.size(); ++i)
    for (std::size_t value = 0; value < 6; ++value)
      head[0][static_cast<std::int64_t>(value)][static_cast<std::int64_t>(i)] = boxes[i][value];
  return head;
}

const std::vector<std::array<float, 6>> some{{10, 20, 4, 6, 0.1f, 0.2f},   // below the score
                                             {10, 20, 4, 6, 0.3f, 0.9f},   // class 1
                                             {10.5f, 20, 4, 6, 0.f, 0.8f}, // dropped by it
                                             {10, 20, 4, 6, 0.85f, 0.1f},  // another class at the same place
                                             {50, 50, 10, 10, 0.7f, 0.7f}, // of equal scores the first class
                                             {90, 90, 2, 2, 0.25f, 0.f}};  // not above the score

TEST(DetectionHeads, AYoloBoxHasItsBestClassAndSuppressesItsOwnClassOnly) {
  const auto found = detections_of(v8_head(some), yolo(YoloLayout::v8, 2)).at(0);
  EXPECT_EQ(found.problem, "");
  ASSERT_EQ(found.detections.size(), 3u);
  EXPECT_EQ(found.detections[0].box, (Box{8, 17, 12, 23}));
  EXPECT_EQ(found.detections[0].label, 1);
  EXPECT_FLOAT_EQ(found.detections[0].score, 0.9f);
  EXPECT_EQ(found.detections[1].label, 0);
  EXPECT_FLOAT_EQ(found.detections[1].score, 0.85f);
  EXPECT_EQ(found.detections[2].box, (Box{45, 45, 55, 55}));
  EXPECT_EQ(found.detections[2].label, 0);
}

TEST(DetectionHeads, V5IsTheSameWithAnObjectness) {
  torch::Tensor rows = v8_head(some).transpose(1, 2);
  rows = torch::cat({rows.narrow(2, 0, 4), torch::full({1, 6, 1}, 0.5), rows.narrow(2, 4, 2) * 2}, 2);
  const auto found = detections_of(rows, yolo(YoloLayout::v5, 2)).at(0).detections;
  const auto wanted = detections_of(v8_head(some), yolo(YoloLayout::v8, 2)).at(0).detections;
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].box, wanted[i].box);
    EXPECT_EQ(found[i].label, wanted[i].label);
    EXPECT_EQ(found[i].score, wanted[i].score);
  }
}

TEST(DetectionHeads, RowsOfABatchAreApart) {
  const torch::Tensor nothing = torch::zeros({1, 6, 6});
  const auto found = detections_of(torch::cat({nothing, v8_head(some), nothing, v8_head(some)}), yolo(YoloLayout::v8, 2));
  ASSERT_EQ(found.size(), 4u);
  EXPECT_THAT(found[0].detections, IsEmpty());
  EXPECT_EQ(found[1].detections.size(), 3u);
  EXPECT_THAT(found[2].detections, IsEmpty());
  EXPECT_EQ(found[3].detections.size(), 3u);
  EXPECT_THAT(detections_of(torch::zeros({2, 6, 0}), yolo(YoloLayout::v8, 2)).at(1).detections, IsEmpty());
}

TEST(DetectionHeads, FinishedDetectionsAreSortedAndUnusedRowsLeftOut) {
  const torch::Tensor rows = torch::tensor({{{1.f, 2.f, 3.f, 4.f, 0.5f, 7.f},
                                             {0.f, 0.f, 0.f, 0.f, 0.f, -1.f}, // unused: its class does not matter
                                             {1.f, 2.f, 3.f, 4.f, 0.75f, 2.f},
                                             {5.f, 6.f, 7.f, 8.f, 0.5f, 1.f}}});
  const auto found = detections_of(rows.to(torch::kHalf), {}).at(0);
  EXPECT_EQ(found.problem, "");
  std::vector<std::int64_t> labels;
  for (const Detection& each : found.detections) labels.push_back(each.label);
  EXPECT_THAT(labels, ElementsAre(2, 7, 1)) << "by score, equal scores by row; nothing is suppressed";
  EXPECT_THAT(detections_of(rows, {.classes = 7}).at(0).problem, HasSubstr("class 7, there are 7 classes"));
  EXPECT_THAT(detections_of(rows + 0.5, {}).at(0).problem, HasSubstr("class 7.5"));
}

TEST(DetectionHeads, ValuesThatAreNotFiniteCostTheRow) {
  const DetectionSpec spec = yolo(YoloLayout::v8, 2);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto boxes = some;
    boxes[1][2] = bad; // a side
    EXPECT_EQ(detections_of(v8_head(boxes), spec).at(0).problem,
              "1 of 4 boxes above the score have values that are NaN or infinite");
    boxes = some;
    boxes[0][4] = bad; // a score: nobody knows whether it is above
    EXPECT_THAT(detections_of(v8_head(boxes), spec).at(0).problem, HasSubstr("1 of 5 boxes"));
    boxes = some;
    boxes[0][0] = bad; // of a box below the score
    EXPECT_EQ(detections_of(v8_head(boxes), spec).at(0).detections.size(), 3u);
  }
}

std::string refusal(const torch::Tensor& output, const DetectionSpec& spec) {
  try {
    detections_of(output, spec);
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "accepted";
  return "";
}

TEST(DetectionHeads, AnotherShapeIsRefusedWithBoth) {
  EXPECT_EQ(
      refusal(torch::zeros({1, 8400, 84}), yolo(YoloLayout::v8, 80)),
      "a detector's first output must be floating [B, 84, boxes] (layout v8, 80 classes), the network gives Float [1, 8400, 84]");
  EXPECT_THAT(refusal(torch::zeros({1, 100, 84}), yolo(YoloLayout::v5, 80)), HasSubstr("[B, boxes, 85] (layout v5, 80 classes)"));
  EXPECT_THAT(refusal(torch::zeros({1, 100, 7}), {}), HasSubstr("[B, boxes, 6] (x1, y1, x2, y2, score, class)"));
  EXPECT_THAT(refusal(torch::zeros({100, 6}), {}), HasSubstr("gives Float [100, 6]"));
  EXPECT_THAT(refusal(torch::zeros({1, 100, 6}, torch::kLong), {}), HasSubstr("gives Long [1, 100, 6]"));
  EXPECT_THAT(refusal({}, {}), HasSubstr("another kind of output"));
}

TEST(DetectionHeads, ColumnsAreInPixelsOfTheOriginal) {
  // A picture of 100 x 200 pixels in the middle of 100 x 100: half its size, bars of 25 above and below.
  const std::any placement = Placement{100, 200, 0.5, 0.5, 25, 0}, none;
  const torch::Tensor rows = torch::tensor({{{10.f, 30.f, 20.f, 40.f, 0.9f, 0.f},
                                             {10.f, 0.f, 20.f, 20.f, 0.8f, 1.f},     // in the bar
                                             {-5.f, 20.f, 300.f, 90.f, 0.7f, 2.f},   // clipped
                                             {50.f, 50.f, 60.f, 60.f, 0.6f, 3.f}}}); // beyond max
  Batch batch;
  batch.items.assign(2, nullptr);
  batch.extra = {&placement, &none};
  Outputs outputs;
  add_detections(rows.repeat({2, 1, 1}), batch, {.max = 2}, outputs);
  ASSERT_EQ(outputs.columns.size(), 3u);
  EXPECT_EQ(outputs.columns[0].name, "boxes");
  EXPECT_TRUE(outputs.columns[0].ragged[0].equal(torch::tensor({{20.f, 10.f, 40.f, 30.f}, {0.f, 0.f, 200.f, 100.f}})));
  EXPECT_EQ(outputs.columns[1].name, "scores");
  EXPECT_TRUE(outputs.columns[1].ragged[0].equal(torch::tensor({0.9f, 0.7f})));
  EXPECT_EQ(outputs.columns[2].name, "classes");
  EXPECT_TRUE(outputs.columns[2].ragged[0].equal(torch::tensor({0, 2}, torch::kLong)));
  EXPECT_EQ(outputs.columns[0].ragged[1].sizes(), torch::IntArrayRef({0, 4}));
  ASSERT_EQ(outputs.failures.size(), 1u) << "without a Placement the place in the picture is not known";
  EXPECT_EQ(outputs.failures[0].first, 1);
  EXPECT_THAT(outputs.failures[0].second, HasSubstr("no Placement"));
}

} // namespace
} // namespace mgpu::worker
