#include "worker/device/device_streams.hpp"

#include <torch/torch.h>
#include <algorithm>

#include "mgpu/error.hpp"
#include "worker/device/stored_type.hpp"

#ifdef MGPU_HAS_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace mgpu::worker {

#ifdef MGPU_HAS_CUDA

namespace {

using at::cuda::CUDAEvent;

constexpr std::size_t reserve_bytes = 1'000'000'000;

/// Three queues: copies in, the model, copies out. Memory used on a queue other than the one it was made on is recorded there, so
/// that the caching allocator does not hand it out too early.
class CudaStreams : public DeviceStreams {
 public:
  explicit CudaStreams(torch::Device device)
      : device_(device),
        upload_stream_(c10::cuda::getStreamFromPool(false, device.index())),
        download_stream_(c10::cuda::getStreamFromPool(false, device.index())) {
    c10::cuda::set_device(device.index());
    leave_room();
  }

  torch::Tensor host_tensor(at::IntArrayRef shape, torch::ScalarType type) override {
    // A loader thread's current device is the first one; pinning there would open a context on another rank's GPU.
    const c10::cuda::CUDAGuard guard(device_);
    return torch::empty(shape, torch::TensorOptions().dtype(type).pinned_memory(true));
  }

  Uploaded upload(const torch::Tensor& input, const torch::Tensor& lengths, const std::vector<torch::Tensor>& targets) override {
    const c10::cuda::CUDAStreamGuard guard(upload_stream_);
    Uploaded uploaded{copy_in(input), copy_in(pinned(lengths)), {}, nullptr};
    for (const torch::Tensor& target : targets) uploaded.targets.push_back(copy_in(pinned(target)));
    uploaded.ready = record(upload_stream_);
    return uploaded;
  }

  void await(const Uploaded& uploaded) override {
    const auto compute = c10::cuda::getCurrentCUDAStream(device_.index());
    static_cast<CUDAEvent*>(uploaded.ready.get())->block(compute);
    for (const torch::Tensor& tensor : {uploaded.input, uploaded.lengths})
      if (tensor.defined()) tensor.record_stream(compute);
    for (const torch::Tensor& target : uploaded.targets) target.record_stream(compute);
  }

  torch::Tensor fetch(const torch::Tensor& value) override {
    // Widening and gathering run on the compute queue, where the value was made.
    const torch::Tensor whole = value.to(stored_type(value.scalar_type())).contiguous();
    if (!whole.is_cuda()) return whole;
    record(c10::cuda::getCurrentCUDAStream(device_.index()))->block(download_stream_);
    const c10::cuda::CUDAStreamGuard guard(download_stream_);
    torch::Tensor host = host_tensor(whole.sizes(), whole.scalar_type());
    host.copy_(whole, /*non_blocking=*/true);
    whole.record_stream(download_stream_);
    return host;
  }

  DeviceEvent record() override {
    // The download queue must also wait for work that fetched nothing, or its input could be overwritten too early.
    record(c10::cuda::getCurrentCUDAStream(device_.index()))->block(download_stream_);
    return record(download_stream_);
  }

  void finish(const DeviceEvent& event) override {
    if (event != nullptr) static_cast<CUDAEvent*>(event.get())->synchronize();
  }

  void free_cache() override { c10::cuda::CUDACachingAllocator::emptyCache(); }
  bool works() override {
    cudaGetLastError(); // a call that was refused is no reason
    return cudaDeviceSynchronize() == cudaSuccess;
  }
  bool overlaps() const override { return true; }

 private:
  /// LibTorch's cache would take all there is; NCCL, cuBLAS and the code of kernels need memory, too, and fail without.
  void leave_room() const {
    std::size_t free = 0, total = 0;
    if (cudaMemGetInfo(&free, &total) != cudaSuccess || total == 0) return;
    const std::size_t reserve = std::min(reserve_bytes, total / 16);
    c10::cuda::CUDACachingAllocator::setMemoryFraction(static_cast<double>(total - reserve) / static_cast<double>(total),
                                                       device_.index());
  }

  /// A copy from plain memory would wait; pinned memory that a copy reads is not handed out again before its end.
  torch::Tensor pinned(const torch::Tensor& host) {
    return host.defined() ? host_tensor(host.sizes(), host.scalar_type()).copy_(host) : torch::Tensor();
  }
  torch::Tensor copy_in(const torch::Tensor& host) const {
    return host.defined() ? host.to(device_, /*non_blocking=*/true) : torch::Tensor();
  }
  /// Blocking sync: a waiting rank sleeps instead of burning a core that loaders need.
  static std::shared_ptr<CUDAEvent> record(const c10::cuda::CUDAStream& stream) {
    auto event = std::make_shared<CUDAEvent>(cudaEventDisableTiming | cudaEventBlockingSync);
    event->record(stream);
    return event;
  }

  torch::Device device_;
  c10::cuda::CUDAStream upload_stream_, download_stream_;
};

} // namespace

std::unique_ptr<DeviceStreams> open_cuda_streams(torch::Device device) {
  c10::cuda::set_device(device.index());
  at::globalContext().lazyInitDevice(c10::DeviceType::CUDA); // the allocator, which is told its limit
  return std::make_unique<CudaStreams>(device);
}

#else

std::unique_ptr<DeviceStreams> open_cuda_streams(torch::Device) {
  throw Error("this build has no CUDA");
}

#endif

} // namespace mgpu::worker
