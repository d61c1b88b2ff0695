#pragma once
// A training worker that lives in its agent: takes items and the way to the others, then makes steps, all ranks of the node together, and
// writes checkpoints of a few bytes. Lets rank 0's side of a training run without LibTorch.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <deque>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "agent/supervisor/worker_link.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/training_messages.hpp"
#include "mgpu/config.hpp"
#include "mgpu/version.hpp"

namespace mgpu::agent {

/// Keeps the ranks of a node in step, and lets them stop at the same one: a page that all of them map.
class Lockstep {
 public:
  Lockstep(const std::string& token, std::size_t ranks) : path_("/dev/shm/mgpu-test-" + token), ranks_(ranks) {
    const int fd = ::open(path_.c_str(), O_RDWR | O_CREAT, 0600);
    if (::ftruncate(fd, page_bytes) != 0) throw Error("ftruncate");
    done_ = static_cast<std::atomic<std::uint64_t>*>(::mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    ::close(fd);
  }
  ~Lockstep() {
    ::munmap(done_, page_bytes);
    ::unlink(path_.c_str());
  }
  Lockstep(const Lockstep&) = delete;
  Lockstep& operator=(const Lockstep&) = delete;

  /// Every rank has done what this one has.
  bool may_step(std::uint64_t done) const {
    return std::all_of(done_ + 1, done_ + 1 + ranks_, [&](const auto& other) { return other.load() >= done; });
  }
  void stepped(int rank, std::uint64_t done) { done_[1 + rank] = done; }
  /// The first rank that is told to stop says after which step: nobody is more than one step ahead of it.
  void stop_after(std::uint64_t step) {
    std::uint64_t none = 0;
    done_[0].compare_exchange_strong(none, step);
  }
  bool stop_before(std::uint64_t step) const { return done_[0] != 0 && step > done_[0]; }

 private:
  static constexpr std::size_t page_bytes = 4096;
  std::string path_;
  std::size_t ranks_;
  std::atomic<std::uint64_t>* done_; ///< [0]: the last step, then each rank's
};

class FakeTraining final : public WorkerLink {
 public:
  struct Behaviour {
    std::uint64_t steps = 20, checkpoint_every = 5, validate_every = 10;
    std::uint64_t dies_after = 0;     ///< steps; 0: never
    std::uint64_t signals_after = 0;  ///< this process gets SIGTERM
    std::vector<std::uint64_t> skips; ///< items it cannot read
    std::string signature = "net";
    std::chrono::milliseconds step_time{5};
  };
  explicit FakeTraining(Behaviour behaviour) : behaviour_(std::move(behaviour)) {
    wire::Hello hello;
    hello.versions.mgpu = std::string(version);
    hello.device_note = "a fake worker";
    say(wire::Type::hello, hello);
  }

  void post(wire::Type type, wire::View payload) override {
    if (end_) return;
    if (type == wire::Type::configure) configure_ = wire::decode<wire::Configure>(payload);
    if (type == wire::Type::items) take(wire::decode<wire::Items>(payload));
    if (type == wire::Type::connect) begin(wire::decode<wire::Connect>(payload));
    if (type == wire::Type::halt) {
      halted_ = true;
      now_ = wire::decode<wire::Halt>(payload).now != 0;
      if (lockstep_) lockstep_->stop_after(step_ + 1);
    }
    if (type == wire::Type::finish) finishing_ = true;
  }
  void flush() override {}
  bool poll(const OnWorkerFrame& handle) override {
    if (!end_) work();
    const bool any = !out_.empty();
    for (; !out_.empty(); out_.pop_front()) handle(out_.front().first, wire::View(out_.front().second), nullptr);
    return any;
  }
  void wait(std::chrono::microseconds timeout) override { std::this_thread::sleep_for(timeout); }
  std::optional<WorkerEnd> ended() override { return end_; }
  void kill() override { end_ = WorkerEnd{"killed", 9}; }

  std::uint64_t items(int part) const { return items_[part].size(); }
  const std::optional<wire::Connect>& connect() const { return connect_; }

 private:
  template <typename Message>
  void say(wire::Type type, const Message& message) {
    wire::Buffer bytes;
    wire::encode(message, bytes);
    out_.emplace_back(type, std::move(bytes));
  }
  void take(wire::Items piece) {
    auto& part = items_[piece.part];
    part.insert(part.end(), piece.items.begin(), piece.items.end());
    complete_ += part.size() == piece.total ? 1 : 0;
    if (complete_ != 2) return;
    wire::Opened opened;
    opened.device = "cpu";
    opened.trainable = {1000, behaviour_.signature, "", configure_.batch_size};
    say(wire::Type::opened, opened);
  }
  void begin(wire::Connect connect) {
    connect_ = std::move(connect);
    if (!connect_->checkpoint.empty()) {
      const std::string name = std::filesystem::path(connect_->checkpoint).filename();
      step_ = std::stoull(name.substr(name.find('-') + 1));
    }
    lockstep_.emplace(connect_->token, connect_->hosts.size());
    lockstep_->stepped(configure_.rank, step_);
  }
  void work() {
    if (!connect_) return;
    if (step_ < behaviour_.steps && !now_ && !lockstep_->stop_before(step_ + 1)) {
      if (!lockstep_->may_step(step_)) return;
      std::this_thread::sleep_for(behaviour_.step_time);
      return one_step();
    }
    if (!finishing_) return;
    if (halted_ && !now_) save();
    wire::Stats stats;
    stats.items = 8 * step_;
    stats.wall_s = 1;
    stats.forward_s = 0.3;
    stats.backward_s = 0.4;
    stats.load_wait_s = 0.1;
    say(wire::Type::stats, stats);
    end_ = WorkerEnd{};
  }
  void one_step() {
    ++step_;
    if (step_ == behaviour_.dies_after) {
      end_ = WorkerEnd{"killed by signal 9 (Killed)", 9};
      return;
    }
    const bool first = configure_.rank == 0;
    wire::Step step;
    step.step = step_;
    step.epoch = static_cast<std::uint32_t>(1 + (step_ - 1) / 10);
    step.samples = 8;
    step.loss = 1.0 / static_cast<double>(step_);
    step.lr = 0.1;
    step.seconds = 0.01;
    if (first) say(wire::Type::steps, wire::Steps{behaviour_.steps, {step}});
    if (step_ == 2)
      for (const std::uint64_t item : behaviour_.skips)
        if (first) say(wire::Type::skipped, wire::Skipped{{{item, 0, "truncated JPEG"}}});
    if (first && step_ % behaviour_.validate_every == 0)
      say(wire::Type::metrics,
          wire::Metrics{step_, step.epoch, 0.1, 1, {{"loss", 0.5}, {"accuracy", 0.75}}, {{"a", 1.0}, {"b", 0.5}}, {10, 20}});
    if (step_ % behaviour_.checkpoint_every == 0) save();
    if (first && step_ == behaviour_.signals_after) std::raise(SIGTERM);
    lockstep_->stepped(configure_.rank, step_);
  }
  void save() {
    const Config config(nlohmann::json::parse(configure_.config_json));
    wire::Saved saved;
    saved.step = step_;
    saved.folder = fmt::format("{}/step-{:08}", config.get<std::string>("checkpoint-dir"), step_);
    std::filesystem::create_directories(saved.folder);
    const std::string text = fmt::format("rank {} step {}", configure_.rank, step_);
    std::ofstream(fmt::format("{}/rank-{:04}.part", saved.folder, configure_.rank)) << text;
    saved.bytes = text.size();
    if (configure_.rank == 0) saved.meta_json = R"({"scaler": 1024})";
    say(wire::Type::saved, saved);
  }

  Behaviour behaviour_;
  wire::Configure configure_;
  std::vector<Item> items_[2];
  int complete_ = 0;
  std::optional<wire::Connect> connect_;
  std::deque<std::pair<wire::Type, wire::Buffer>> out_;
  std::uint64_t step_ = 0;
  std::optional<Lockstep> lockstep_;
  bool halted_ = false, now_ = false, finishing_ = false;
  std::optional<WorkerEnd> end_;
};

} // namespace mgpu::agent
