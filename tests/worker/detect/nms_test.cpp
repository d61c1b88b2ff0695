#include "mgpu/detection.hpp"

#include <gmock/gmock.h>

#include <limits>

#include "mgpu/error.hpp"
#include "worker/load/references.hpp"

namespace mgpu::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Nms, KeepsWhatTorchvisionKeepsIndexForIndex) {
  const Npy<std::int64_t> counts(references() + "nms/counts.npy"), classes(references() + "nms/classes.npy");
  const Npy<double> thresholds(references() + "nms/thresholds.npy");
  const Npy<float> coordinates(references() + "nms/boxes.npy"), scores(references() + "nms/scores.npy");
  const Npy<std::int64_t> kept(references() + "nms/kept.npy"), kept_by_class(references() + "nms/kept_by_class.npy");
  std::vector<Box> boxes(scores.values.size());
  std::memcpy(static_cast<void*>(boxes.data()), coordinates.values.data(), coordinates.values.size() * sizeof(float));

  ASSERT_EQ(counts.shape.at(0), 1000);
  std::size_t at = 0, kept_at = 0, class_at = 0;
  for (std::size_t set = 0; set < thresholds.values.size(); ++set) {
    SCOPED_TRACE(set);
    const auto count = [&](std::size_t i) { return static_cast<std::size_t>(counts.values[set * 3 + i]); };
    const auto part = [](const auto& values, std::size_t begin, std::size_t size) {
      return std::span(values).subspan(begin, size);
    };
    const auto all = [](auto span) { return std::vector<std::int64_t>(span.begin(), span.end()); };
    const auto own = part(boxes, at, count(0));
    const auto own_scores = part(scores.values, at, count(0));
    ASSERT_EQ(nms(own, own_scores, thresholds.values[set]), all(part(kept.values, kept_at, count(1))));
    ASSERT_EQ(class_nms(own, own_scores, part(classes.values, at, count(0)), thresholds.values[set]),
              all(part(kept_by_class.values, class_at, count(2))));
    at += count(0), kept_at += count(1), class_at += count(2);
  }
  EXPECT_EQ(at, boxes.size());
  EXPECT_GT(class_at, kept_at) << "other classes do not drop a box";
}

TEST(Nms, EqualScoresGoToTheLowerIndex) {
  const std::vector<Box> boxes(20, Box{0, 0, 10, 10});
  const std::vector<float> scores(20, 0.5f);
  EXPECT_THAT(nms(boxes, scores, 0.5), ElementsAre(0));
  const std::vector<Box> apart{{0, 0, 1, 1}, {2, 0, 3, 1}, {4, 0, 5, 1}};
  EXPECT_THAT(nms(apart, std::vector<float>{-0.0f, 0.0f, 0.0f}, 0.5), ElementsAre(0, 1, 2));
  EXPECT_THAT(nms(apart, std::vector<float>{-1.0f, 0.0f, 1.0f}, 0.5), ElementsAre(2, 1, 0));
}

TEST(Nms, ValuesThatAreNotFiniteAreLeftOut) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
  const std::vector<Box> boxes{{0, 0, 1, 1}, {nan, 0, 1, 1}, {2, 0, infinite, 1}, {4, 0, 5, 1}, {6, 0, 7, 1}, {8, 0, 9, 1}};
  const std::vector<float> scores{nan, 0.9f, 0.8f, infinite, -infinite, 0.1f};
  EXPECT_THAT(nms(boxes, scores, 0.5), ElementsAre(5));
  EXPECT_THAT(class_nms(boxes, scores, std::vector<std::int64_t>(6, 3), 0.5), ElementsAre(5));
  // Areas beyond the largest float are no error.
  const std::vector<Box> vast(3, Box{-3e38f, -3e38f, 3e38f, 3e38f});
  EXPECT_THAT(nms(vast, std::vector<float>{1, 2, 3}, 0.5), ElementsAre(2, 1, 0));
}

TEST(Nms, NothingInNothingOutAndSizesMustAgree) {
  EXPECT_THAT(nms({}, {}, 0.5), IsEmpty());
  EXPECT_THAT(class_nms({}, {}, {}, 0.5), IsEmpty());
  EXPECT_THROW(nms(std::vector<Box>(2), std::vector<float>(3), 0.5), Error);
  EXPECT_THROW(class_nms(std::vector<Box>(2), std::vector<float>(2), std::vector<std::int64_t>(1), 0.5), Error);
}

} // namespace
} // namespace mgpu::test
