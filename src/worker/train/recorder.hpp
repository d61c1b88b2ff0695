#pragma once
// Passes that are recorded on the device once and then replayed. The interface hides the differences between a CUDA graph and a
// CPU, so that its users can be tested without a GPU.

#include <functional>
#include <memory>

#include "mgpu/tensor.hpp"

namespace mgpu::worker::train {

/// A recorded pass.
class Recording {
 public:
  virtual ~Recording() = default;
  /// Runs the pass again: after all work that the caller has queued, before all that it will queue. Calls `reached(k)` for each
  /// milestone of the pass, in order; work that this queues on its current stream waits for the milestone only, not for the end
  /// of the pass.
  virtual void replay(const std::function<void(std::size_t)>& reached) = 0;
};

/// Records passes over fixed memory: each replay reads and writes the same memory. Called by one thread.
class Recorder {
 public:
  virtual ~Recorder() = default;
  static std::unique_ptr<Recorder> open(torch::Device device);

  /// Runs a pass without recording, on the stream of the recordings: libraries initialise themselves in their first calls, which
  /// cannot be recorded.
  virtual void warm_up(const std::function<void()>& pass) = 0;
  /// Records a pass; its results are there after a replay. On a GPU its host code runs only now and must not wait for the device;
  /// if it throws, nothing was computed. Everything that it refers to must outlive the recording.
  virtual std::unique_ptr<Recording> record(std::function<void()> pass) = 0;
  /// Called within a recorded pass: other work can later wait for the work queued so far alone. From any thread.
  virtual void milestone() = 0;
};

/// The recorder of a GPU (recorder_cuda.cpp); throws Error in a build without CUDA.
std::unique_ptr<Recorder> open_cuda_recorder(torch::Device device);

} // namespace mgpu::worker::train
