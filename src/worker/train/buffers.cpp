#include "worker/train/buffers.hpp"

#include <vector>

#include "worker/device/torch.hpp"

namespace mgpu::worker::train {

void average_buffers(Training& training, collective::Exchange& exchange) {
  if (exchange.size() == 1) return;
  std::vector<torch::Tensor> buffers;
  std::int64_t count = 0;
  for (const NamedTensor& buffer : training.buffers())
    if (buffer.tensor.is_floating_point()) {
      buffers.push_back(buffer.tensor);
      count += buffer.tensor.numel();
    }
  if (count == 0) return;
  const torch::NoGradGuard no_grad;
  torch::Tensor flat = torch::empty({count}, torch::kFloat);
  std::int64_t at = 0;
  for (const torch::Tensor& buffer : buffers) {
    flat.narrow(0, at, buffer.numel()).copy_(buffer.reshape({-1}));
    at += buffer.numel();
  }
  exchange.mean({flat.data_ptr<float>(), static_cast<std::size_t>(count)}, "running statistics");
  at = 0;
  for (const torch::Tensor& buffer : buffers) {
    buffer.copy_(flat.narrow(0, at, buffer.numel()).view(buffer.sizes()));
    at += buffer.numel();
  }
}

} // namespace mgpu::worker::train
