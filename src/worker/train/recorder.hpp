#pragma once
// Passes that are told to the device once and then done again and again. Behind this interface lies all that differs between a CUDA graph
// and a CPU, so that what is built on it is tested without a GPU.

#include <functional>
#include <memory>

#include "mgpu/tensor.hpp"

namespace mgpu::worker::train {

/// A pass that was recorded.
class Recording {
 public:
  virtual ~Recording() = default;
  /// Does the pass again: after all work that the caller has queued, before all it will queue. For each of its milestones, in order,
  /// `reached(k)` is called; what that queues on its current stream waits for the milestone only, not for the pass's end.
  virtual void replay(const std::function<void(std::size_t)>& reached) = 0;
};

/// Records passes that work on fixed places: each replay reads and writes the same memory. Called by one thread.
class Recorder {
 public:
  virtual ~Recorder() = default;
  static std::unique_ptr<Recorder> open(torch::Device device);

  /// Runs a pass as usual, where it will be recorded later: libraries set themselves up in their first calls, which cannot be recorded.
  virtual void warm_up(const std::function<void()>& pass) = 0;
  /// Records a pass; what it computes is there after a replay. On a GPU its host code runs now and never again, it must not wait for
  /// the device, and when it throws, nothing was computed. What it refers to must outlive the recording.
  virtual std::unique_ptr<Recording> record(std::function<void()> pass) = 0;
  /// Within a pass that is recorded: work that waits for what was queued so far can be told from the rest. From any thread.
  virtual void milestone() = 0;
};

/// The recorder of a GPU (recorder_cuda.cpp); throws Error in a build without CUDA.
std::unique_ptr<Recorder> open_cuda_recorder(torch::Device device);

} // namespace mgpu::worker::train
