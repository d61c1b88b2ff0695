#pragma once
#include <algorithm>
#include <array>
#include <cstddef>

namespace mgpu::worker {

/// The median of the last values.
class RecentMedian {
 public:
  void add(double value) { values_[count_++ % values_.size()] = value; }
  /// 0: no value yet.
  double value() const {
    const std::size_t known = std::min(count_, values_.size());
    if (known == 0) return 0;
    auto sorted = values_;
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(known / 2);
    std::nth_element(sorted.begin(), middle, sorted.begin() + static_cast<std::ptrdiff_t>(known));
    return *middle;
  }

 private:
  std::array<double, 63> values_{};
  std::size_t count_ = 0;
};

} // namespace mgpu::worker
