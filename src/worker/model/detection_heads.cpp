#include "mgpu/detection_heads.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <any>
#include <cmath>
#include <numeric>
#include <sstream>

#include "mgpu/error.hpp"
#include "worker/device/torch.hpp"

namespace mgpu {

namespace {

/// Position of the boxes' values among the dimensions, and their number.
struct Shape {
  std::int64_t dimension = 2, values = 6;
};

Shape shape_of(const DetectionSpec& spec) {
  if (!spec.yolo) return {};
  return *spec.yolo == YoloLayout::v8 ? Shape{1, 4 + spec.classes} : Shape{2, 5 + spec.classes};
}

void check_shape(const torch::Tensor& output, const DetectionSpec& spec) {
  const Shape shape = shape_of(spec);
  if (output.defined() && output.is_floating_point() && output.dim() == 3 && output.size(shape.dimension) == shape.values) return;
  std::ostringstream have;
  if (output.defined()) have << output.scalar_type() << ' ' << output.sizes();
  const std::string wanted =
      shape.dimension == 1 ? fmt::format("[B, {}, boxes]", shape.values) : fmt::format("[B, boxes, {}]", shape.values);
  std::string reason = "x1, y1, x2, y2, score, class";
  if (spec.yolo) reason = fmt::format("layout {}, {} classes", *spec.yolo == YoloLayout::v8 ? "v8" : "v5", spec.classes);
  throw Error(fmt::format("a detector's first output must be floating {} ({}), the network gives {}", wanted, reason,
                          output.defined() ? have.str() : "another kind of output"));
}

/// Class scores [..., C] of a YOLO head's rows [..., values].
torch::Tensor class_scores(const torch::Tensor& rows, const DetectionSpec& spec) {
  if (*spec.yolo == YoloLayout::v8) return rows.narrow(-1, 4, spec.classes);
  return rows.narrow(-1, 5, spec.classes) * rows.narrow(-1, 4, 1);
}

/// [K, 6], x1, y1, x2, y2, score, class, of a YOLO head's rows [K, values].
torch::Tensor decoded(const torch::Tensor& rows, const DetectionSpec& spec) {
  const auto [best, label] = class_scores(rows, spec).max(1); // of equal scores the first; NaN if one is
  const torch::Tensor centre = rows.narrow(1, 0, 2), half = rows.narrow(1, 2, 2) / 2;
  return torch::cat({centre - half, centre + half, best.unsqueeze(1), label.to(torch::kFloat).unsqueeze(1)}, 1);
}

/// Candidates above the score, and those whose score is NaN, row after row, in host memory.
struct Candidates {
  torch::Tensor rows;   ///< [K] int64: rows of the batch
  torch::Tensor values; ///< [K, 6] float32: x1, y1, x2, y2, score, class
};

Candidates candidates_of(const torch::Tensor& output, const DetectionSpec& spec) {
  check_shape(output, spec);
  torch::Tensor all = output.to(torch::kFloat);
  if (shape_of(spec).dimension == 1) all = all.transpose(1, 2);
  // The best class is looked for among the candidates only: with its index a maximum takes many times as long.
  const torch::Tensor scores = spec.yolo ? class_scores(all, spec).amax(2) : all.select(2, 4);
  const torch::Tensor chosen = (scores <= spec.score).logical_not().nonzero(); // [K, 2]
  const torch::Tensor row = chosen.select(1, 0), picked = all.index({row, chosen.select(1, 1)});
  return {row.to(torch::kCPU).contiguous(), (spec.yolo ? decoded(picked, spec) : picked).to(torch::kCPU).contiguous()};
}

/// Candidates of one row, value by value.
struct RowCandidates {
  std::vector<Box> boxes;
  std::vector<float> scores;
  std::vector<std::int64_t> classes;
};

/// Why the values cannot be used; "" if they can.
std::string problem_of(const float* values, std::int64_t count, const DetectionSpec& spec) {
  std::int64_t bad = 0;
  for (std::int64_t i = 0; i < count; ++i)
    bad += !std::all_of(values + i * 6, values + i * 6 + 6, [](float value) { return std::isfinite(value); });
  if (bad > 0) return fmt::format("{} of {} boxes above the score have values that are NaN or infinite", bad, count);
  const float classes = spec.classes > 0 ? static_cast<float>(spec.classes) : 16'777'216.0f; // up to 2²⁴ a float is exact
  for (std::int64_t i = 0; i < count; ++i)
    if (const float label = values[i * 6 + 5]; label != std::floor(label) || label < 0 || label >= classes)
      return fmt::format("a box has class {}, {}", label,
                         spec.classes > 0 ? fmt::format("there are {} classes", spec.classes) : "not a whole number from 0");
  return "";
}

std::vector<std::int64_t> by_score(const std::vector<float>& scores) {
  std::vector<std::int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
  });
  return order;
}

RowDetections detections_of_row(const float* values, std::int64_t count, const DetectionSpec& spec) {
  RowDetections result;
  result.problem = problem_of(values, count, spec);
  if (!result.problem.empty()) return result;
  RowCandidates found;
  for (std::int64_t i = 0; i < count; ++i, values += 6) {
    found.boxes.push_back({values[0], values[1], values[2], values[3]});
    found.scores.push_back(values[4]);
    found.classes.push_back(static_cast<std::int64_t>(values[5]));
  }
  for (const std::int64_t i :
       spec.yolo ? class_nms(found.boxes, found.scores, found.classes, spec.iou) : by_score(found.scores)) {
    const auto at = static_cast<std::size_t>(i);
    result.detections.push_back({found.boxes[at], found.scores[at], found.classes[at]});
  }
  return result;
}

/// The detections in pixels of the original.
std::vector<Detection> in_original(const std::vector<Detection>& found, const Placement& placement, std::int64_t most) {
  std::vector<Detection> inside;
  for (const Detection& each : found) {
    if (most > 0 && static_cast<std::int64_t>(inside.size()) == most) break;
    const Box box = placement.to_original(each.box);
    if (box.x2 > box.x1 && box.y2 > box.y1) inside.push_back({box, each.score, each.label});
  }
  return inside;
}

/// The columns of one picture.
struct Columns {
  torch::Tensor boxes, scores, classes;
};

Columns columns_of(const std::vector<Detection>& detections) {
  const auto count = static_cast<std::int64_t>(detections.size());
  Columns columns{torch::empty({count, 4}), torch::empty({count}), torch::empty({count}, torch::kLong)};
  auto* box = columns.boxes.mutable_data_ptr<float>();
  auto* score = columns.scores.mutable_data_ptr<float>();
  auto* label = columns.classes.mutable_data_ptr<std::int64_t>();
  for (const Detection& each : detections) {
    for (const float edge : {each.box.x1, each.box.y1, each.box.x2, each.box.y2}) *box++ = edge;
    *score++ = each.score;
    *label++ = each.label;
  }
  return columns;
}

} // namespace

std::vector<RowDetections> detections_of(const torch::Tensor& output, const DetectionSpec& spec) {
  const Candidates candidates = candidates_of(output, spec);
  const auto* rows = candidates.rows.const_data_ptr<std::int64_t>();
  const auto* values = candidates.values.const_data_ptr<float>();
  const std::int64_t count = candidates.rows.size(0);
  std::vector<RowDetections> result;
  for (std::int64_t row = 0, begin = 0; row < output.size(0); ++row) {
    std::int64_t end = begin;
    while (end < count && rows[end] == row) ++end;
    result.push_back(detections_of_row(values + begin * 6, end - begin, spec));
    begin = end;
  }
  return result;
}

void add_detections(const torch::Tensor& output, const Batch& batch, const DetectionSpec& spec, Outputs& columns) {
  const std::vector<RowDetections> found = detections_of(output, spec);
  std::vector<torch::Tensor> boxes, scores, classes;
  for (std::size_t row = 0; row < found.size(); ++row) {
    const auto* placement = row < batch.extra.size() ? std::any_cast<Placement>(batch.extra[row]) : nullptr;
    std::string problem = found[row].problem;
    if (problem.empty() && placement == nullptr) problem = "no Placement of the picture in Sample::extra";
    if (!problem.empty()) columns.fail(static_cast<std::int64_t>(row), problem);
    const Columns own =
        columns_of(problem.empty() ? in_original(found[row].detections, *placement, spec.max) : std::vector<Detection>());
    boxes.push_back(own.boxes);
    scores.push_back(own.scores);
    classes.push_back(own.classes);
  }
  columns.add_ragged("boxes", std::move(boxes));
  columns.add_ragged("scores", std::move(scores));
  columns.add_ragged("classes", std::move(classes));
}

} // namespace mgpu
