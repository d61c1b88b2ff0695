#pragma once
// A run without MPI, worker processes and waiting: what ranks say is put in by hand, what they are told is read, and time passes when the
// test says so.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/comm/messenger.hpp"
#include "agent/coordinator/coordinator.hpp"
#include "agent/coordinator/process.hpp"
#include "agent/supervisor/worker_link.hpp"
#include "common/wire/batch_result.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/encoded_block.hpp"
#include "mgpu/job.hpp"
#include "mgpu/version.hpp"

namespace mgpu::agent {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using wire::Type;

/// A frame, and who sent it or gets it.
struct Frame {
  int rank = 0;
  Type type = Type::heartbeat;
  wire::Buffer bytes;
  wire::Block block; ///< of a result, instead of bytes

  wire::View payload() const { return block.owner ? block.bytes : wire::View(bytes); }
  template <typename Message>
  Message as() const {
    return wire::decode<Message>(payload());
  }
};

template <typename Message>
wire::Buffer encoded(const Message& message) {
  wire::Buffer bytes;
  wire::encode(message, bytes);
  return bytes;
}

class FakeMessenger final : public comm::Messenger {
 public:
  FakeMessenger(int rank, int size) : rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void post(int rank, Type type, wire::View payload) override {
    posted.push_back({rank, type, wire::Buffer(payload.begin(), payload.end()), {}});
  }
  void post(int rank, Type type, wire::View payload, std::shared_ptr<void>) override { post(rank, type, payload); }
  void flush() override {}
  bool poll(const comm::OnFrame& handle) override {
    const bool any = !arrived.empty();
    while (!arrived.empty()) {
      const Frame frame = std::move(arrived.front());
      arrived.pop_front();
      handle(frame.rank, frame.type, frame.payload(), frame.block.owner);
    }
    return any;
  }
  bool idle(int rank) const override { return !stuck.contains(rank); }
  bool idle() const override { return stuck.empty(); }
  std::vector<int> take_dead() override { return std::exchange(dead, {}); }

  std::vector<Frame> posted;
  std::deque<Frame> arrived;
  std::vector<int> dead;
  std::set<int> stuck; ///< ranks to which something is on its way for ever

 private:
  int rank_, size_;
};

class FakeLink final : public WorkerLink {
 public:
  void post(Type type, wire::View payload) override {
    posted.push_back({0, type, wire::Buffer(payload.begin(), payload.end()), {}});
  }
  void flush() override {}
  bool poll(const OnWorkerFrame& handle) override {
    const bool any = !arrived.empty();
    while (!arrived.empty()) {
      const Frame frame = std::move(arrived.front());
      arrived.pop_front();
      handle(frame.type, frame.payload(), frame.block.owner);
    }
    return any;
  }
  void wait(std::chrono::microseconds timeout) override { on_wait(timeout); }
  std::optional<WorkerEnd> ended() override { return end; }
  void kill() override { killed = true; }

  std::vector<Frame> posted;
  std::deque<Frame> arrived;
  std::optional<WorkerEnd> end;
  bool killed = false;
  std::function<void(std::chrono::microseconds)> on_wait = [](auto) {};
};

/// What a loop that is tested takes for its process.
struct FakeProcess {
  std::atomic<double> now_s{1000}; ///< several threads ask
  wire::Signal signal;
  bool launcher_gone = false;

  Process process() {
    return {[this] { return now_s.load(); }, [this] { return signal; }, [this] { return launcher_gone; }};
  }
};

class PlainJob final : public Job {
 public:
  std::string summary() const override { return "for tests"; }
  std::string examples() const override { return ""; }
};

/// How a run ended, as a person sees it.
struct Ended {
  ExitCode code = ExitCode::ok;
  std::string text; ///< of its error, or why it stopped early
  Outcome outcome;
};

/// Rank 0's coordinator. Ranks are on nodes as `nodes` says, one each.
class RunTest : public testing::Test {
 protected:
  RunTest() : folder_(std::filesystem::path(testing::TempDir()) / fmt::format("mgpu_run_test_{}", getpid())) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    setup_.job_name = "test";
    setup_.job = &job_;
    setup_.progress = "none";
    setup_.binding.devices = "cpu";
    setup_.output = (folder_ / "out.h5").string();
    testing::internal::CaptureStderr();
    testing::internal::CaptureStdout();
  }
  ~RunTest() override {
    coordinator_.reset();
    std::filesystem::remove_all(folder_);
    const std::string said = this->said();
    if (HasFailure()) fmt::print(stderr, "{}", said);
  }

  /// Items "item0", … in the manifest.
  void list_items(int items) {
    const std::string table = (folder_ / "items.csv").string();
    std::ofstream file(table);
    file << "path\n";
    for (int item = 0; item < items; ++item) file << "item" << item << "\n";
    file.close();
    setup_.manifest = manifest::Manifest::read(table);
  }

  wire::Join join(int rank) const {
    wire::Join join;
    join.node = join.host = nodes_[static_cast<std::size_t>(rank)];
    join.cores = {0, 1};
    return join;
  }
  void nodes(std::vector<std::string> names) {
    nodes_ = std::move(names);
    messenger_.emplace(0, size());
  }
  void start(const MakeWorkload& make, std::vector<std::string> names) {
    nodes(std::move(names));
    link_.on_wait = [this](std::chrono::microseconds pause) { pass(std::chrono::duration<double>(pause).count()); };
    coordinator_.emplace(
        setup_, *messenger_, link_, make, [this] { ++beats_; }, [] { throw Left(); }, process_.process());
    coordinator_->start(join(0));
  }
  int size() const { return static_cast<int>(nodes_.size()); }

  void arrive(Frame frame) { (frame.rank == 0 ? link_.arrived : messenger_->arrived).push_back(std::move(frame)); }
  template <typename Message>
  void say(int rank, Type type, const Message& message) {
    arrive({rank, type, encoded(message), {}});
  }
  void say(int rank, Type type) { arrive({rank, type, {}, {}}); }
  void say_hello(int rank) {
    wire::Hello hello;
    hello.versions.mgpu = std::string(version);
    say(rank, Type::hello, hello);
  }
  void join_all(int except = -1) {
    for (int rank = 0; rank < size(); ++rank) {
      if (rank == except) continue;
      if (rank > 0) say(rank, Type::join, join(rank));
      say_hello(rank);
    }
  }
  void open(int rank, wire::Opened opened = {}) {
    opened.device = "cpu";
    say(rank, Type::opened, opened);
  }

  void round() { coordinator_->step(); }
  void pass(double seconds) { process_.now_s = process_.now_s + seconds; }
  /// Time goes on as it does for a loop that runs: no step of it is a suspension. Ranks in `talking` are heard.
  void live(double seconds, const std::set<int>& talking) {
    for (double left = seconds; left > 0; left -= 0.5) {
      pass(std::min(left, 0.5));
      for (const int rank : talking)
        if (rank > 0) say(rank, Type::heartbeat);
      round();
    }
  }
  /// Rounds until `fact` holds; other threads (planning, the writer) may need a moment.
  bool until(const std::function<bool()>& fact) {
    for (const double limit = mgpu::now_s() + 20; mgpu::now_s() < limit; std::this_thread::yield()) {
      if (fact()) return true;
      round();
    }
    return false;
  }
  /// Rounds until the run is over; `react` before each.
  Ended end(const std::function<void()>& react = [] {}) {
    Ended ended;
    try {
      const bool over = until([&] {
        if (!coordinator_->done()) react();
        return coordinator_->done();
      });
      if (!over) throw Error("the run does not end");
      ended.outcome = coordinator_->outcome();
      ended.code = ended.outcome.code;
      ended.text = ended.outcome.stopped;
    } catch (const Error& error) {
      ended.code = error.code();
      ended.text = error.what();
    }
    return ended;
  }

  /// Everything that was sent to a rank's worker, or to its agent, in order.
  const std::vector<Frame>& posted(int rank) {
    std::vector<Frame>& frames = posted_[rank];
    if (rank == 0) {
      frames = link_.posted;
    } else {
      frames.clear();
      for (const Frame& frame : messenger_->posted)
        if (frame.rank == rank) frames.push_back(frame);
    }
    return frames;
  }
  int count(int rank, Type type) {
    int found = 0;
    for (const Frame& frame : posted(rank)) found += frame.type == type ? 1 : 0;
    return found;
  }
  template <typename Message>
  Message last(int rank, Type type) {
    std::optional<Message> found;
    for (const Frame& frame : posted(rank))
      if (frame.type == type) found = frame.as<Message>();
    if (!found) throw Error("no such frame was sent");
    return *found;
  }

  /// What a person read so far.
  const std::string& said() {
    if (capturing_) {
      capturing_ = false;
      said_ = testing::internal::GetCapturedStderr() + testing::internal::GetCapturedStdout();
    }
    return said_;
  }

  struct Left {}; ///< a second INT ended the process

  std::filesystem::path folder_;
  PlainJob job_;
  RunSetup setup_;
  FakeProcess process_;
  FakeLink link_; ///< rank 0's worker
  std::optional<FakeMessenger> messenger_;
  std::optional<Coordinator> coordinator_;
  int beats_ = 0;

 private:
  std::vector<std::string> nodes_;
  std::map<int, std::vector<Frame>> posted_;
  bool capturing_ = true;
  std::string said_;
};

} // namespace mgpu::agent
