#pragma once
#include <cuda_runtime_api.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace fake_gpu {

using Task = std::function<void()>;

/// Something that will have happened.
class Signal {
 public:
  void set();
  void wait();
  bool is_set() const { return set_; }

 private:
  std::mutex mutex_;
  std::condition_variable change_;
  std::atomic<bool> set_ = false;
};

/// What a launch of a recording queues: each node makes its task then.
struct Graph {
  std::vector<std::function<Task()>> nodes;
};

class Stream;

/// A recording that goes on.
class Capture {
 public:
  Capture(Stream& origin, cudaStreamCaptureMode mode);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  void add(std::function<Task()> node);
  void invalidate() { valid_ = false; }
  bool valid() const { return valid_; }
  Stream& origin() { return origin_; }
  unsigned long long id() const { return id_; }
  Graph take_graph() { return std::move(graph_); }
  /// Streams that wait for an event of this recording become part of it.
  void join(Stream& stream);
  void let_joined_go();

  /// Sets the mode of this thread, and gives the one before.
  static cudaStreamCaptureMode exchange_mode(cudaStreamCaptureMode mode);
  static bool forbids_here();

 private:
  Stream& origin_;
  const cudaStreamCaptureMode mode_;
  const unsigned long long id_;
  std::atomic<bool> valid_ = true;
  std::mutex mutex_;
  Graph graph_;
  std::vector<Stream*> joined_;
};

/// A queue and the thread that works through it, each task after a random delay. Never destroyed.
class Stream {
 public:
  static Stream& of(cudaStream_t handle);
  static Stream& make();
  static std::vector<Stream*> all();
  bool is_default() const { return this == &of(nullptr); }

  /// Queues `task`, or records it.
  void add(Task task);
  void add_node(std::function<Task()> node);
  void queue(Task task);
  void synchronize();
  bool idle();

  std::shared_ptr<Capture> capture();
  void set_capture(std::shared_ptr<Capture> capture);

 private:
  Stream();
  void work();

  std::mutex mutex_;
  std::condition_variable change_;
  std::deque<Task> tasks_;
  bool working_ = false;
  std::shared_ptr<Capture> capture_;
};

class Event {
 public:
  static Event& of(cudaEvent_t handle) { return *reinterpret_cast<Event*>(handle); }
  /// In a recording without `external`: of use to streams that shall join it only.
  void record(Stream& stream, bool external);
  void make_wait(Stream& stream);
  bool done();
  void wait();

 private:
  std::shared_ptr<Signal> begin();

  std::mutex mutex_;
  std::shared_ptr<Signal> signal_;
  std::weak_ptr<Capture> capture_; ///< it was recorded in
};

} // namespace fake_gpu
