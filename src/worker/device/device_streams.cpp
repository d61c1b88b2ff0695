#include "worker/device/device_streams.hpp"

#include "worker/device/stored_type.hpp"
#include "worker/device/torch.hpp"

namespace mgpu::worker {

namespace {

class CpuStreams : public DeviceStreams {
 public:
  torch::Tensor host_tensor(at::IntArrayRef shape, torch::ScalarType type) override { return torch::empty(shape, type); }
  Uploaded upload(const torch::Tensor& input, const torch::Tensor& lengths, const std::vector<torch::Tensor>& targets) override {
    return {input, lengths, targets, nullptr};
  }
  void await(const Uploaded&) override {}
  torch::Tensor fetch(const torch::Tensor& value) override { return value.to(stored_type(value.scalar_type())).contiguous(); }
  DeviceEvent record() override { return nullptr; }
  void finish(const DeviceEvent&) override {}
  void free_cache() override {}
  bool works() override { return true; }
  bool overlaps() const override { return false; }
};

} // namespace

std::unique_ptr<DeviceStreams> DeviceStreams::open(torch::Device device) {
  if (device.is_cuda()) return open_cuda_streams(device);
  return std::make_unique<CpuStreams>();
}

} // namespace mgpu::worker
