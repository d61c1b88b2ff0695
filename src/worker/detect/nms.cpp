#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "mgpu/detection.hpp"
#include "mgpu/error.hpp"

namespace mgpu {

namespace {

constexpr std::size_t at_once = 4; ///< boxes that are compared at once
using Floats = float __attribute__((vector_size(16)));
using Ints = std::int32_t __attribute__((vector_size(16)));

bool is_finite(const Box& box) {
  return std::isfinite(box.x1) && std::isfinite(box.y1) && std::isfinite(box.x2) && std::isfinite(box.y2);
}

/// Indices by falling score, equal scores by index, without values that are NaN or infinite.
std::vector<std::uint32_t> by_score(std::span<const Box> boxes, std::span<const float> scores) {
  // Sorted as whole numbers: the order of the scores in the upper half, falling, the index in the lower half.
  std::vector<std::uint64_t> keys;
  keys.reserve(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i]) || !is_finite(boxes[i])) continue;
    const auto bits = std::bit_cast<std::uint32_t>(scores[i] + 0.0f); // −0 becomes 0
    const std::uint32_t rising = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
    keys.push_back(std::uint64_t{~rising} << 32 | i);
  }
  std::sort(keys.begin(), keys.end());
  std::vector<std::uint32_t> order;
  order.reserve(keys.size());
  for (const std::uint64_t key : keys) order.push_back(static_cast<std::uint32_t>(key));
  return order;
}

/// torchvision compares a float with a double. Whole vectors compare floats: with the largest one that is not above the double.
float rounded_down(double iou) {
  const auto nearest = static_cast<float>(iou);
  return nearest > iou ? std::nextafter(nearest, -std::numeric_limits<float>::infinity()) : nearest;
}

/// Boxes in order, coordinate by coordinate, padded to whole vectors.
class Suppressor {
 public:
  /// boxes[order[i]] for each i of [begin, end).
  void set(std::span<const Box> boxes, const std::uint32_t* begin, const std::uint32_t* end) {
    count_ = static_cast<std::size_t>(end - begin);
    const std::size_t padded = (count_ + at_once - 1) / at_once * at_once;
    for (auto* values : {&x1_, &y1_, &x2_, &y2_, &area_}) values->assign(padded, 0);
    dropped_.assign(padded, 0);
    for (std::size_t i = 0; i < count_; ++i) {
      const Box& box = boxes[begin[i]];
      x1_[i] = box.x1, y1_[i] = box.y1, x2_[i] = box.x2, y2_[i] = box.y2;
      area_[i] = (box.x2 - box.x1) * (box.y2 - box.y1);
    }
  }

  /// Calls `keep(i)` for each box that no box kept before it drops.
  template <typename Keep>
  void run(float iou, const Keep& keep) {
    for (std::size_t i = 0; i < count_; ++i) {
      if (dropped_[i] != 0) continue;
      keep(i);
      drop_overlapping(i, iou);
    }
  }

 private:
  // Every operation is rounded as torchvision's is: the compiler must not contract two to a fused multiply-add.
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
  static Floats read(const float* from) {
    Floats values;
    std::memcpy(&values, from, sizeof values);
    return values;
  }

  void drop_overlapping(std::size_t kept, float iou) {
    const float *lefts = x1_.data(), *tops = y1_.data(), *rights = x2_.data(), *bottoms = y2_.data(), *areas = area_.data();
    const Floats zero{}, limit = zero + iou, area = zero + areas[kept];
    const Floats x1 = zero + lefts[kept], y1 = zero + tops[kept], x2 = zero + rights[kept], y2 = zero + bottoms[kept];
    std::int32_t* const dropped = dropped_.data();
    const std::size_t end = dropped_.size();
    for (std::size_t at = kept / at_once * at_once; at < end; at += at_once) {
      const Floats left = read(lefts + at), top = read(tops + at), right = read(rights + at), bottom = read(bottoms + at);
      Floats width = (right < x2 ? right : x2) - (left > x1 ? left : x1);
      Floats height = (bottom < y2 ? bottom : y2) - (top > y1 ? top : y1);
      width = width > zero ? width : zero;
      height = height > zero ? height : zero;
      const Floats both = width * height, either = (area + read(areas + at)) - both;
      Ints before;
      std::memcpy(&before, dropped + at, sizeof before);
      const Ints after = before | (both / either > limit);
      std::memcpy(dropped + at, &after, sizeof after);
    }
  }
#pragma GCC pop_options

  std::size_t count_ = 0;
  std::vector<float> x1_, y1_, x2_, y2_, area_;
  std::vector<std::int32_t> dropped_; ///< all bits set: yes
};

void check_sizes(std::size_t boxes, std::size_t others, const char* name) {
  if (boxes != others) throw Error(fmt::format("{} boxes and {} {}", boxes, others, name));
  if (boxes > std::numeric_limits<std::uint32_t>::max()) throw Error(fmt::format("{} boxes are too many", boxes));
}

} // namespace

std::vector<std::int64_t> nms(std::span<const Box> boxes, std::span<const float> scores, double iou) {
  check_sizes(boxes.size(), scores.size(), "scores");
  const std::vector<std::uint32_t> order = by_score(boxes, scores);
  Suppressor suppressor;
  suppressor.set(boxes, order.data(), order.data() + order.size());
  std::vector<std::int64_t> kept;
  suppressor.run(rounded_down(iou), [&](std::size_t i) { kept.push_back(order[i]); });
  return kept;
}

std::vector<std::int64_t> class_nms(std::span<const Box> boxes, std::span<const float> scores,
                                    std::span<const std::int64_t> classes, double iou) {
  check_sizes(boxes.size(), scores.size(), "scores");
  check_sizes(boxes.size(), classes.size(), "classes");
  const std::vector<std::uint32_t> order = by_score(boxes, scores);
  // Places in `order`, class by class; within a class still by score.
  std::vector<std::pair<std::int64_t, std::uint32_t>> places;
  places.reserve(order.size());
  for (std::uint32_t place = 0; place < order.size(); ++place) places.emplace_back(classes[order[place]], place);
  std::sort(places.begin(), places.end());
  std::vector<std::uint32_t> own(order.size());
  for (std::size_t i = 0; i < places.size(); ++i) own[i] = order[places[i].second];

  std::vector<bool> is_kept(order.size());
  Suppressor suppressor;
  const float limit = rounded_down(iou);
  for (std::size_t begin = 0, end = 0; begin < places.size(); begin = end) {
    while (end < places.size() && places[end].first == places[begin].first) ++end;
    suppressor.set(boxes, own.data() + begin, own.data() + end);
    suppressor.run(limit, [&](std::size_t i) { is_kept[places[begin + i].second] = true; });
  }
  std::vector<std::int64_t> kept;
  for (std::size_t place = 0; place < order.size(); ++place)
    if (is_kept[place]) kept.push_back(order[place]);
  return kept;
}

} // namespace mgpu
