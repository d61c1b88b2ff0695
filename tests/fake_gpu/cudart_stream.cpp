// Streams, events, recordings.
#include "calls.hpp"
#include "stream.hpp"

using namespace fake_gpu;

FAKE_GPU_API cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  return called("stream create", Kind::any, [&] {
    touch_device("stream create");
    *stream = reinterpret_cast<cudaStream_t>(&Stream::make());
    return cudaSuccess;
  });
}

FAKE_GPU_API cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return called("stream query", Kind::unsafe_in_capture,
                [&] { return Stream::of(stream).idle() ? cudaSuccess : cudaErrorNotReady; });
}

FAKE_GPU_API cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return called("stream synchronize", Kind::unsafe_in_capture, [&] {
    Stream& stream = Stream::of(handle);
    if (const auto recording = stream.capture()) {
      recording->invalidate();
      return cudaErrorStreamCaptureUnsupported;
    }
    stream.synchronize();
    return broken();
  });
}

FAKE_GPU_API cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return called("event create", Kind::any, [&] {
    touch_device("event create");
    *event = reinterpret_cast<cudaEvent_t>(new Event);
    return cudaSuccess;
  });
}

FAKE_GPU_API cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, 0);
}

FAKE_GPU_API cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete &Event::of(event);
  return noted(broken());
}

FAKE_GPU_API cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  return called("event record", Kind::any, [&] {
    const bool external = (flags & cudaEventRecordExternal) != 0;
    if (external && Stream::of(stream).capture() == nullptr) return cudaErrorInvalidValue;
    Event::of(event).record(Stream::of(stream), external);
    return cudaSuccess;
  });
}

FAKE_GPU_API cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, 0);
}

FAKE_GPU_API cudaError_t cudaEventQuery(cudaEvent_t event) {
  return called("event query", Kind::unsafe_in_capture,
                [&] { return Event::of(event).done() ? cudaSuccess : cudaErrorNotReady; });
}

FAKE_GPU_API cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return called("event synchronize", Kind::unsafe_in_capture, [&] { return Event::of(event).wait(), broken(); });
}

FAKE_GPU_API cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 1;
  return noted(broken());
}

FAKE_GPU_API cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return called("stream wait", Kind::any, [&] { return Event::of(event).make_wait(Stream::of(stream)), cudaSuccess; });
}

FAKE_GPU_API cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const auto recording = Stream::of(stream).capture();
  *status = recording == nullptr ? cudaStreamCaptureStatusNone
            : recording->valid() ? cudaStreamCaptureStatusActive
                                 : cudaStreamCaptureStatusInvalidated;
  return cudaSuccess;
}

FAKE_GPU_API cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id,
                                                  cudaGraph_t*, const cudaGraphNode_t**, const cudaGraphEdgeData**,
                                                  std::size_t*) {
  const auto recording = Stream::of(stream).capture();
  if (id != nullptr) *id = recording == nullptr ? 0 : recording->id();
  return cudaStreamIsCapturing(stream, status);
}

FAKE_GPU_API cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return called("capture", Kind::any, [&] {
    Stream& stream = Stream::of(handle);
    if (stream.is_default() || stream.capture() != nullptr) return cudaErrorStreamCaptureUnsupported;
    stream.set_capture(std::make_shared<Capture>(stream, mode));
    return cudaSuccess;
  });
}

FAKE_GPU_API cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  *graph = nullptr;
  Stream& stream = Stream::of(handle);
  const auto recording = stream.capture();
  if (recording == nullptr || &recording->origin() != &stream) return noted(cudaErrorInvalidValue);
  recording->let_joined_go();
  stream.set_capture(nullptr);
  if (broken() != cudaSuccess) return noted(broken());
  if (!recording->valid()) return noted(cudaErrorStreamCaptureInvalidated);
  *graph = reinterpret_cast<cudaGraph_t>(new Graph(recording->take_graph()));
  return cudaSuccess;
}

FAKE_GPU_API cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  *mode = Capture::exchange_mode(*mode);
  return cudaSuccess;
}

FAKE_GPU_API cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, std::size_t* count) {
  *count = reinterpret_cast<Graph*>(graph)->nodes.size();
  return cudaSuccess;
}

FAKE_GPU_API cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  return called("graph instantiate", Kind::any, [&] {
    return *made = reinterpret_cast<cudaGraphExec_t>(new Graph(*reinterpret_cast<Graph*>(graph))), cudaSuccess;
  });
}

FAKE_GPU_API cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  return called("graph launch", Kind::any, [&] {
    for (const auto& node : reinterpret_cast<Graph*>(graph)->nodes) Stream::of(stream).queue(node());
    return cudaSuccess;
  });
}

FAKE_GPU_API cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<Graph*>(graph);
  return noted(broken());
}

FAKE_GPU_API cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete reinterpret_cast<Graph*>(graph);
  return noted(broken());
}
