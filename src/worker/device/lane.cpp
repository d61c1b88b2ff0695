#include "worker/device/lane.hpp"

#include "worker/device/stored_type.hpp"

namespace mgpu {

namespace {

class CpuLane : public Lane {
 public:
  torch::Tensor host_tensor(at::IntArrayRef shape, torch::ScalarType type) override { return torch::empty(shape, type); }
  Uploaded upload(const torch::Tensor& input, const torch::Tensor& lengths, const std::vector<torch::Tensor>& targets) override {
    return {input, lengths, targets, nullptr};
  }
  void await(const Uploaded&) override {}
  torch::Tensor fetch(const torch::Tensor& value) override { return value.to(stored_type(value.scalar_type())).contiguous(); }
  Mark mark() override { return nullptr; }
  void finish(const Mark&) override {}
  void free_cache() override {}
  bool works() override { return true; }
  bool overlaps() const override { return false; }
};

} // namespace

std::unique_ptr<Lane> Lane::open(torch::Device device) {
  if (device.is_cuda()) return open_cuda_lane(device);
  return std::make_unique<CpuLane>();
}

} // namespace mgpu
