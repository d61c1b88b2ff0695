#include "stream.hpp"

#include <chrono>
#include <random>
#include <set>
#include <thread>
#include <utility>

#include "settings.hpp"

namespace fake_gpu {

namespace {

std::atomic<unsigned long long> next_capture{1};
std::atomic<int> global_captures{0}; ///< that forbid unsafe calls to all threads
thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;
thread_local std::set<Capture*> strict_here; ///< begun by this thread, not relaxed
thread_local int global_here = 0;

struct Streams {
  std::mutex mutex;
  std::vector<Stream*> all;
};
Streams& streams() {
  static auto* never_destroyed = new Streams;
  return *never_destroyed;
}

} // namespace

void Signal::set() {
  {
    const std::lock_guard lock(mutex_);
    set_ = true;
  }
  change_.notify_all();
}

void Signal::wait() {
  std::unique_lock lock(mutex_);
  change_.wait(lock, [this] { return set_.load(); });
}

Capture::Capture(Stream& origin, cudaStreamCaptureMode mode) : origin_(origin), mode_(mode), id_(next_capture++) {
  if (mode_ != cudaStreamCaptureModeRelaxed) strict_here.insert(this);
  if (mode_ == cudaStreamCaptureModeGlobal) ++global_captures, ++global_here;
}

/// By the thread that began it, as CUDA demands of cudaStreamEndCapture.
Capture::~Capture() {
  strict_here.erase(this);
  if (mode_ == cudaStreamCaptureModeGlobal) --global_captures, --global_here;
}

void Capture::add(std::function<Task()> node) {
  const std::lock_guard lock(mutex_);
  graph_.nodes.push_back(std::move(node));
}

void Capture::join(Stream& stream) {
  const std::lock_guard lock(mutex_);
  joined_.push_back(&stream);
}

void Capture::let_joined_go() {
  const std::lock_guard lock(mutex_);
  for (Stream* each : joined_) each->set_capture(nullptr);
  joined_.clear();
}

cudaStreamCaptureMode Capture::exchange_mode(cudaStreamCaptureMode mode) {
  return std::exchange(thread_mode, mode);
}

bool Capture::forbids_here() {
  if (thread_mode == cudaStreamCaptureModeRelaxed) return false;
  const bool of_others = thread_mode == cudaStreamCaptureModeGlobal && global_captures > global_here;
  if (strict_here.empty() && !of_others) return false;
  for (Capture* each : strict_here) each->invalidate();
  return true;
}

Stream::Stream() {
  std::thread([this] { work(); }).detach();
}

Stream& Stream::make() {
  auto* stream = new Stream;
  const std::lock_guard lock(streams().mutex);
  streams().all.push_back(stream);
  return *stream;
}

Stream& Stream::of(cudaStream_t handle) {
  static Stream& by_default = make();
  if (handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread) return by_default;
  return *reinterpret_cast<Stream*>(handle);
}

std::vector<Stream*> Stream::all() {
  const std::lock_guard lock(streams().mutex);
  return streams().all;
}

void Stream::work() {
  static std::atomic<unsigned> seed{1};
  std::mt19937 random(seed++);
  for (;;) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      working_ = false;
      change_.notify_all();
      change_.wait(lock, [this] { return !tasks_.empty(); });
      task = std::move(tasks_.front());
      tasks_.pop_front();
      working_ = true;
    }
    if (settings().delay_us > 0)
      std::this_thread::sleep_for(std::chrono::microseconds(random() % static_cast<unsigned>(settings().delay_us + 1)));
    task();
  }
}

void Stream::add(Task task) {
  if (const auto recording = capture()) return recording->add([task = std::move(task)] { return task; });
  queue(std::move(task));
}

void Stream::queue(Task task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  change_.notify_all();
}

void Stream::synchronize() {
  auto signal = std::make_shared<Signal>();
  queue([signal] { signal->set(); });
  signal->wait();
}

bool Stream::idle() {
  const std::lock_guard lock(mutex_);
  return tasks_.empty() && !working_;
}

std::shared_ptr<Capture> Stream::capture() {
  const std::lock_guard lock(mutex_);
  return capture_;
}

void Stream::set_capture(std::shared_ptr<Capture> capture) {
  const std::lock_guard lock(mutex_);
  capture_ = std::move(capture);
}

std::shared_ptr<Signal> Event::begin() {
  auto signal = std::make_shared<Signal>();
  const std::lock_guard lock(mutex_);
  signal_ = signal;
  return signal;
}

void Event::record(Stream& stream, bool external) {
  const auto recording = stream.capture();
  if (recording && external) {
    recording->add([this] { return Task([signal = begin()] { signal->set(); }); });
    return;
  }
  const auto signal = begin();
  {
    const std::lock_guard lock(mutex_);
    capture_ = recording;
  }
  if (recording)
    signal->set(); // nothing of a recording happens now
  else
    stream.queue([signal] { signal->set(); });
}

void Event::make_wait(Stream& stream) {
  std::shared_ptr<Signal> signal;
  std::shared_ptr<Capture> recording;
  {
    const std::lock_guard lock(mutex_);
    signal = signal_;
    recording = capture_.lock();
  }
  if (signal == nullptr) return;
  if (recording == nullptr) return stream.add([signal] { signal->wait(); });
  if (stream.capture() != nullptr) return; // its nodes are in one line anyway
  recording->join(stream);
  stream.set_capture(recording);
}

bool Event::done() {
  const std::lock_guard lock(mutex_);
  return signal_ == nullptr || signal_->is_set();
}

void Event::wait() {
  std::shared_ptr<Signal> signal;
  {
    const std::lock_guard lock(mutex_);
    signal = signal_;
  }
  if (signal != nullptr) signal->wait();
}

} // namespace fake_gpu
