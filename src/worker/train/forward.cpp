#include "worker/train/forward.hpp"

#include <ATen/autocast_mode.h>

#include "worker/device/torch.hpp"

namespace mgpu::worker::train {

namespace {

/// Casts to a smaller type where that is safe, like torch.autocast; does nothing for float32.
class Autocast {
 public:
  explicit Autocast(const RankContext& context) : device_(context.device.type()), active_(context.dtype != torch::kFloat) {
    if (!active_) return;
    at::autocast::set_autocast_enabled(device_, true);
    at::autocast::set_autocast_dtype(device_, context.dtype);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    if (!active_) return;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_, false);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  c10::DeviceType device_;
  bool active_;
};

} // namespace

torch::Tensor forward_loss(Training& training, const Batch& rows, const RankContext& context) {
  const Autocast autocast(context);
  return training.loss(rows);
}

} // namespace mgpu::worker::train
