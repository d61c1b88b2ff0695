#pragma once
// Copies between host and device, and their streams. The interface hides the differences between a CPU and a GPU, so that the
// rest of the worker is the same for both and can be tested without a GPU.

#include <memory>
#include <vector>

#include "mgpu/tensor.hpp"

namespace mgpu::worker {

/// An event in the work queue of a device; nullptr on a CPU, which has no queue.
using DeviceEvent = std::shared_ptr<void>;

struct Uploaded {
  torch::Tensor input, lengths; ///< on the device; undefined if the host tensors were
  std::vector<torch::Tensor> targets;
  DeviceEvent ready;
};

class DeviceStreams {
 public:
  virtual ~DeviceStreams() = default;
  /// Opens the streams and makes `device` current for the calling thread.
  static std::unique_ptr<DeviceStreams> open(torch::Device device);

  /// An uninitialised host tensor, pinned where that speeds up copies. Any thread.
  virtual torch::Tensor host_tensor(at::IntArrayRef shape, torch::ScalarType type) = 0;
  /// Starts copying to the device; input and lengths must stay valid until the batch is finished. `targets`: for training only.
  virtual Uploaded upload(const torch::Tensor& input, const torch::Tensor& lengths,
                          const std::vector<torch::Tensor>& targets) = 0;
  /// Makes work that is queued from now on wait for the upload.
  virtual void await(const Uploaded& uploaded) = 0;
  /// Starts copying a result to the host; valid once an event recorded later is finished. The result is contiguous.
  virtual torch::Tensor fetch(const torch::Tensor& value) = 0;
  /// Records an event after all work and fetches started so far.
  virtual DeviceEvent record() = 0;
  /// Waits for an event. Throws when the device has failed: no result on it is then reliable.
  virtual void finish(const DeviceEvent& event) = 0;
  /// Frees cached memory, after running out of memory.
  virtual void free_cache() = 0;
  /// After an error: whether the device still works. A process cannot use a device whose context has failed.
  virtual bool works() = 0;
  /// True if run returns before the device is done, so that the next batch can be copied meanwhile.
  virtual bool overlaps() const = 0;
};

/// The streams of a GPU (device_streams_cuda.cpp); throws Error in a build without CUDA.
std::unique_ptr<DeviceStreams> open_cuda_streams(torch::Device device);

} // namespace mgpu::worker
