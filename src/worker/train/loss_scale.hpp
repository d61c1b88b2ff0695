#pragma once
#include <cstdint>

namespace mgpu::worker::train {

/// The dynamic loss scale of float16 training: halved when a gradient was not finite, doubled after `growth_interval` good steps
/// (torch.amp.GradScaler's defaults). All ranks see the same results, so they have the same scale. For other types it is 1.
class LossScale {
 public:
  static constexpr double first_scale = 65536;
  static constexpr std::uint32_t growth_interval = 2000;

  explicit LossScale(bool active = false) : active_(active), scale_(active ? first_scale : 1) {}
  bool active() const { return active_; }
  double scale() const { return scale_; }
  std::uint32_t good_steps() const { return good_steps_; }
  void restore(double scale, std::uint32_t good_steps) {
    if (!active_) return;
    scale_ = scale;
    good_steps_ = good_steps;
  }
  /// Call it after a step; `finite`: all gradients were finite.
  void note(bool finite) {
    if (!active_) return;
    if (!finite) {
      scale_ /= 2;
      good_steps_ = 0;
    } else if (++good_steps_ == growth_interval) {
      scale_ *= 2;
      good_steps_ = 0;
    }
  }

 private:
  bool active_;
  double scale_;
  std::uint32_t good_steps_ = 0;
};

} // namespace mgpu::worker::train
