#include "worker/device/device_streams.hpp"
#include "worker/device/torch.hpp"

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

/// Three streams: copies to the device, the model, copies to the host. Memory used on a stream other than the one it was
/// allocated on is recorded there, so that the caching allocator does not reuse it too early.
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
    // A loader thread's current device is device 0; pinning there would open a context on another rank's GPU.
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
    // Conversion and contiguous() run on the compute stream, where the value was made.
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
    // The download stream must also wait for work without a fetch, or its input could be overwritten too early.
    record(c10::cuda::getCurrentCUDAStream(device_.index()))->block(download_stream_);
    return record(download_stream_);
  }

  void finish(const DeviceEvent& event) override {
    if (event != nullptr) static_cast<CUDAEvent*>(event.get())->synchronize();
  }

  void free_cache() override { c10::cuda::CUDACachingAllocator::emptyCache(); }
  bool works() override {
    cudaGetLastError(); // an error of a refused call does not count
    return cudaDeviceSynchronize() == cudaSuccess;
  }
  bool overlaps() const override { return true; }

 private:
  /// Limits LibTorch's cache, which would use all memory: NCCL, cuBLAS and the code of kernels need some, too, and fail without.
  void leave_room() const {
    std::size_t free = 0, total = 0;
    if (cudaMemGetInfo(&free, &total) != cudaSuccess || total == 0) return;
    const std::size_t reserve = std::min(reserve_bytes, total / 16);
    c10::cuda::CUDACachingAllocator::setMemoryFraction(static_cast<double>(total - reserve) / static_cast<double>(total),
                                                       device_.index());
  }

  /// A copy from pageable memory would block. Pinned memory is not reused before a copy from it has ended.
  torch::Tensor pinned(const torch::Tensor& host) {
    return host.defined() ? host_tensor(host.sizes(), host.scalar_type()).copy_(host) : torch::Tensor();
  }
  torch::Tensor copy_in(const torch::Tensor& host) const {
    return host.defined() ? host.to(device_, /*non_blocking=*/true) : torch::Tensor();
  }
  /// Blocking sync: a waiting rank sleeps instead of using a core that loaders need.
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
  at::globalContext().lazyInitDevice(c10::DeviceType::CUDA); // initialises the allocator, whose limit is set next
  return std::make_unique<CudaStreams>(device);
}

#else

std::unique_ptr<DeviceStreams> open_cuda_streams(torch::Device) {
  throw Error("this build has no CUDA");
}

#endif

} // namespace mgpu::worker
