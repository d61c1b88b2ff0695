// Passes as CUDA graphs.
//
// Losses with and without --cuda-graph have the same bits, also with dropout and in stages (tests/gpu, seen on an H200). It was
// not checked that sums of buckets start while a replay runs (--trace, or Nsight Systems).
#include "mgpu/error.hpp"
#include "worker/device/torch.hpp"
#include "worker/train/recorder.hpp"

#ifdef MGPU_HAS_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <deque>
#endif

namespace mgpu::worker::train {

#ifdef MGPU_HAS_CUDA

namespace {

using c10::cuda::CUDAStream;

/// Makes `later` wait for the work queued so far on `earlier`.
void follow(const CUDAStream& later, const CUDAStream& earlier) {
  at::cuda::CUDAEvent here(cudaEventDisableTiming);
  here.record(earlier);
  here.block(later);
}

/// An event inside a graph, for streams outside. An ordinary event recorded in a capture is only an edge of the graph. An
/// external one is a node: every launch of the graph records it again, and a wait after a launch waits for that launch.
class Milestone {
 public:
  explicit Milestone(const CUDAStream& captured) {
    C10_CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
    C10_CUDA_CHECK(cudaEventRecordWithFlags(event_, captured, cudaEventRecordExternal));
  }
  ~Milestone() { C10_CUDA_CHECK_WARN(cudaEventDestroy(event_)); }
  Milestone(const Milestone&) = delete;
  Milestone& operator=(const Milestone&) = delete;

  void hold(const CUDAStream& stream) const { C10_CUDA_CHECK(cudaStreamWaitEvent(stream, event_, cudaEventWaitDefault)); }

 private:
  cudaEvent_t event_ = nullptr;
};

class CudaRecording final : public Recording {
 public:
  CudaRecording(const CUDAStream& stream, const CUDAStream& relay, std::shared_ptr<const at::cuda::MempoolId_t> pool)
      : stream_(stream), relay_(relay), pool_(std::move(pool)) {}

  void replay(const std::function<void(std::size_t)>& reached) override {
    const CUDAStream caller = c10::cuda::getCurrentCUDAStream(stream_.device_index());
    follow(stream_, caller);
    {
      const c10::cuda::CUDAStreamGuard guard(stream_);
      graph.replay();
    }
    follow(caller, stream_);
    const c10::cuda::CUDAStreamGuard guard(relay_);
    std::size_t index = 0;
    for (const Milestone& milestone : milestones) {
      milestone.hold(relay_);
      reached(index++);
    }
  }

  at::cuda::CUDAGraph graph;
  std::deque<Milestone> milestones;

 private:
  CUDAStream stream_, relay_;
  std::shared_ptr<const at::cuda::MempoolId_t> pool_;
};

/// All passes share one memory pool. That is safe in any order: they run one after another on one stream, and their results
/// (gradients, loss, running statistics) are in memory that was allocated outside.
class CudaRecorder final : public Recorder {
 public:
  explicit CudaRecorder(torch::Device device)
      : device_(device),
        stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index())),
        relay_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device.index())) {}

  void warm_up(const std::function<void()>& pass) override {
    const CUDAStream caller = c10::cuda::getCurrentCUDAStream(device_.index());
    follow(stream_, caller);
    try {
      const c10::cuda::CUDAStreamGuard guard(stream_);
      pass();
    } catch (...) {
      follow(caller, stream_); // later work must wait for the queued work
      throw;
    }
    follow(caller, stream_);
  }

  std::unique_ptr<Recording> record(std::function<void()> pass) override {
    // Cached blocks cannot be used by the pool of the recordings.
    c10::cuda::CUDACachingAllocator::emptyCache();
    const auto pool = pool_of_the_living();
    auto recording = std::make_unique<CudaRecording>(stream_, relay_, pool);
    const c10::cuda::CUDAStreamGuard guard(stream_);
    // Only this thread's calls can break the capture: meanwhile loaders pin memory, and NCCL's watchdog queries events.
    recording->graph.capture_begin(*pool, cudaStreamCaptureModeThreadLocal);
    recorded_ = recording.get();
    try {
      pass();
    } catch (...) {
      recorded_ = nullptr;
      end_quietly(recording->graph);
      throw;
    }
    recorded_ = nullptr;
    recording->graph.capture_end();
    return recording;
  }

  void milestone() override { recorded_->milestones.emplace_back(c10::cuda::getCurrentCUDAStream(device_.index())); }

 private:
  /// Ends the capture of the stream after an exception, which reports the cause.
  static void end_quietly(at::cuda::CUDAGraph& graph) {
    try {
      graph.capture_end();
    } catch (const std::exception&) {
      cudaGetLastError(); // resets the error for later calls
    }
  }

  /// The allocator drops a pool with the last graph that uses it, and then refuses its id.
  std::shared_ptr<const at::cuda::MempoolId_t> pool_of_the_living() {
    auto pool = pool_.lock();
    if (pool == nullptr) pool_ = pool = std::make_shared<const at::cuda::MempoolId_t>(at::cuda::graph_pool_handle());
    return pool;
  }

  torch::Device device_;
  CUDAStream stream_;                               ///< stream of the passes: the default stream cannot be captured
  CUDAStream relay_;                                ///< on which work after milestones is queued
  std::weak_ptr<const at::cuda::MempoolId_t> pool_; ///< pool of the existing recordings
  CudaRecording* recorded_ = nullptr;               ///< while its pass runs
};

} // namespace

std::unique_ptr<Recorder> open_cuda_recorder(torch::Device device) {
  return std::make_unique<CudaRecorder>(device);
}

#else

std::unique_ptr<Recorder> open_cuda_recorder(torch::Device) {
  throw Error("this build has no CUDA");
}

#endif

} // namespace mgpu::worker::train
