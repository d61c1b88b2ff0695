// Calls a second of nms or class_nms on the boxes of a file. bench_nms FILE IOU nms|class_nms
// FILE: float32 rows x1, y1, x2, y2, score, class.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "mgpu/detection.hpp"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  std::ifstream file(argv[1], std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  std::vector<float> values(content.size() / sizeof(float));
  std::memcpy(values.data(), content.data(), values.size() * sizeof(float));
  std::vector<mgpu::Box> boxes;
  std::vector<float> scores;
  std::vector<std::int64_t> classes;
  for (std::size_t i = 0; i + 6 <= values.size(); i += 6) {
    boxes.push_back({values[i], values[i + 1], values[i + 2], values[i + 3]});
    scores.push_back(values[i + 4]);
    classes.push_back(static_cast<std::int64_t>(values[i + 5]));
  }
  const double iou = std::stod(argv[2]);
  const bool by_class = std::string(argv[3]) == "class_nms";
  using Clock = std::chrono::steady_clock;
  const auto seconds_since = [](Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  double best = 1e9;
  std::size_t kept = 0;
  for (const auto begin = Clock::now(); seconds_since(begin) < 0.5;) {
    const auto call = Clock::now();
    kept = (by_class ? mgpu::class_nms(boxes, scores, classes, iou) : mgpu::nms(boxes, scores, iou)).size();
    best = std::min(best, seconds_since(call));
  }
  fmt::print("{} {}\n", 1 / best, kept);
  return 0;
}
