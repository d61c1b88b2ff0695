#pragma once
#include "mgpu/tensor.hpp"

#include <string>
#include <vector>

#include "mgpu/bundle.hpp"
#include "mgpu/detection.hpp"
#include "mgpu/work.hpp"

namespace mgpu {

/// The detections of one row of a batch.
struct RowDetections {
  std::vector<Detection> detections; ///< by falling score, in pixels of the model's input
  std::string problem;               ///< "", or why there are none: values that are NaN or infinite, a class that does not exist
};

/// Detections in a network's output on any device, of any floating type; scores above spec.score.
///
/// spec.yolo not set: [B, M, 6], each row x1, y1, x2, y2, score, class; no suppression. v8: [B, 4 + C, N], channels cx, cy, w, h, then class
/// scores. v5: [B, N, 5 + C], cx, cy, w, h, objectness, class scores; a score is objectness × class score. A YOLO box has its best
/// class, of equal ones the first; then class_nms with spec.iou. Candidates are compared with the score on the device, then copied to the host.
/// spec.max is not applied. Throws Error if the shape does not match.
std::vector<RowDetections> detections_of(const torch::Tensor& output, const DetectionSpec& spec);

/// Adds the ragged columns `/results/boxes` float32 [n, 4] (x1, y1, x2, y2 in pixels of the original picture, clipped to it), `scores`
/// float32 [n] and `classes` int64 [n]: the detections_of `output` whose box is not empty after clipping, at most spec.max per row. The
/// Placement of each row is taken from batch.extra, where Preprocessor::prepare puts it. A row with a problem or without a Placement fails.
void add_detections(const torch::Tensor& output, const Batch& batch, const DetectionSpec& spec, Outputs& columns);

} // namespace mgpu
