#pragma once
#include <algorithm>
#include <cstdint>

namespace mgpu::worker {

/// Number of rows that pass through the network at once. Halved when memory runs out, doubled again after some good steps, whose
/// number doubles each time that was too early. In a training the global batch does not change, and all ranks agree after each
/// step.
class MicroBatch {
 public:
  explicit MicroBatch(std::int64_t most = 1) : most_(most), rows_(most) {}
  std::int64_t rows() const { return rows_; }
  /// Memory ran out on this rank with `rows` rows.
  void halve(std::int64_t rows) { rows_ = std::max<std::int64_t>(1, std::min(rows_, (rows + 1) / 2)); }
  /// After a step in which memory ran out on some rank: `least` is the smallest of all ranks' rows.
  void agree(std::int64_t least) {
    if (grew_) patience_ = std::min(2 * patience_, most_patience);
    rows_ = std::min(rows_, least);
    good_steps_ = 0;
    grew_ = false;
  }
  /// After a step in which no rank ran out of memory.
  void note_good_step() {
    if (rows_ == most_ || ++good_steps_ < patience_) return;
    rows_ = std::min(most_, 2 * rows_);
    good_steps_ = 0;
    grew_ = true;
  }
  std::uint32_t patience() const { return patience_; }
  std::uint32_t good_steps() const { return good_steps_; }
  void restore(std::int64_t rows, std::uint32_t patience, std::uint32_t good_steps, bool grew) {
    rows_ = std::clamp<std::int64_t>(rows, 1, most_);
    patience_ = std::max(patience, 1u);
    good_steps_ = good_steps;
    grew_ = grew;
  }
  bool grew() const { return grew_; }

 private:
  static constexpr std::uint32_t most_patience = 100'000;
  std::int64_t most_, rows_;
  std::uint32_t patience_ = 200, good_steps_ = 0; ///< steps
  bool grew_ = false;
};

} // namespace mgpu::worker
