#pragma once
// Copies between host and device, and the streams they run on. Behind this interface lies all that differs between a CPU and a GPU, so that
// the rest of the worker is the same for both and tested without a GPU.

#include <memory>
#include <vector>

#include "mgpu/tensor.hpp"

namespace mgpu::worker {

/// A point in the work queued on a device; nullptr where everything is done at once.
using DeviceEvent = std::shared_ptr<void>;

struct Uploaded {
  torch::Tensor input, lengths; ///< on the device; undefined where the host tensors were
  std::vector<torch::Tensor> targets;
  DeviceEvent ready;
};

class DeviceStreams {
 public:
  virtual ~DeviceStreams() = default;
  /// Makes `device` the calling thread's current one.
  static std::unique_ptr<DeviceStreams> open(torch::Device device);

  /// An uninitialised host tensor, pinned where that speeds up copies. Any thread.
  virtual torch::Tensor host_tensor(at::IntArrayRef shape, torch::ScalarType type) = 0;
  /// Begins copying to the device; input and lengths must stay until the batch is finished. `targets` are a training's, else empty.
  virtual Uploaded upload(const torch::Tensor& input, const torch::Tensor& lengths,
                          const std::vector<torch::Tensor>& targets) = 0;
  /// Makes work enqueued from now on wait for the upload.
  virtual void await(const Uploaded& uploaded) = 0;
  /// Begins copying a result to the host; valid once an event recorded later is finished. The result is contiguous.
  virtual torch::Tensor fetch(const torch::Tensor& value) = 0;
  /// Records an event behind all work and fetches begun so far.
  virtual DeviceEvent record() = 0;
  /// Waits for an event. Throws when the device has failed: nothing on it can be trusted any more.
  virtual void finish(const DeviceEvent& event) = 0;
  /// After running out of memory: gives cached memory back.
  virtual void free_cache() = 0;
  /// After an error: whether the device answers still. Nothing in a process can use a device whose context has failed.
  virtual bool works() = 0;
  /// True when run returns before the device is done, so that the next batch can be copied meanwhile.
  virtual bool overlaps() const = 0;
};

/// The streams of a GPU (device_streams_cuda.cpp); throws Error in a build without CUDA.
std::unique_ptr<DeviceStreams> open_cuda_streams(torch::Device device);

} // namespace mgpu::worker
