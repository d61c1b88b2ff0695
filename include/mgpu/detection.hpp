#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "mgpu/placement.hpp"

namespace mgpu {

/// One detected object.
struct Detection {
  Box box;
  float score = 0;        ///< 0 to 1
  std::int64_t label = 0; ///< index of its class
};

/// Greedy non-maximum suppression: a box is dropped if its overlap (intersection over union) with a box of a higher score that was kept
/// is above `iou`. Returns the indices of the boxes kept, by falling score, equal scores by index; the same as torchvision.ops.nms for
/// float32. Boxes or scores that are NaN or infinite are left out. boxes and scores: [N]; O(N²) time. Throws Error if their sizes differ.
std::vector<std::int64_t> nms(std::span<const Box> boxes, std::span<const float> scores, double iou);

/// nms among the boxes of each class, without the shift of boxes by class that torchvision.ops.batched_nms uses for few boxes, because
/// the shift changes rounding. Order and errors as nms. classes: [N].
std::vector<std::int64_t> class_nms(std::span<const Box> boxes, std::span<const float> scores,
                                    std::span<const std::int64_t> classes, double iou);

} // namespace mgpu
