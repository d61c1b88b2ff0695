#pragma once
// A worker that lives in its agent: opens at once, gives an empty (or one-column) result for each item after the seconds that
// the item's column "sleep" says. Lets the agents' side run, and be measured, without LibTorch.
#include <signal.h>

#include <deque>
#include <string>
#include <thread>

#include "agent/double_result.hpp"
#include "agent/supervisor/worker_link.hpp"
#include "common/support/clock.hpp"
#include "common/wire/batch_result.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/items_messages.hpp"
#include "common/wire/row_crc.hpp"
#include "mgpu/version.hpp"

namespace mgpu::agent {

class FakeWorker final : public WorkerLink {
 public:
  struct Behaviour {
    bool with_column = false;            ///< a float64 column "double_index" = 2 × item index
    std::int64_t dies_after = -1;        ///< batches after which it is gone; -1: never
    bool cannot_open = false;            ///< its device fails
    bool malformed = false;              ///< what it sends is no result
    bool in_parts = false;               ///< gives each batch row by row
    bool hangs = false;                  ///< takes grants, never answers
    std::int64_t kills_agent_after = -1; ///< batches after which the agent ends by SIGKILL; 0: instead of opening; -1: never
    double opens_at_unix_s = 0;          ///< opens only then, so that all ranks of a bench begin together
  };
  FakeWorker() { say_hello(); }
  explicit FakeWorker(const Behaviour& behaviour) : behaviour_(behaviour) { say_hello(); }

  void post(wire::Type type, wire::View payload) override {
    if (end_) return;
    if (type == wire::Type::configure) configured_ = true;
    if (type == wire::Type::grant) {
      auto grant = wire::decode<wire::Grant>(payload);
      for (wire::BatchRange& range : grant.batches) work_.push_back(std::move(range));
    }
    if (type == wire::Type::finish) finishing_ = true;
  }
  void flush() override {}

  bool poll(const OnWorkerFrame& handle) override {
    bool any = false;
    if (configured_ && !opened_ &&
        std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count() >= behaviour_.opens_at_unix_s)
      answer_configure();
    while (!out_.empty()) {
      auto [type, bytes] = std::move(out_.front());
      out_.pop_front();
      handle(type, wire::View(bytes), nullptr);
      any = true;
    }
    while (!end_ && !behaviour_.hangs && !work_.empty() && run_front(handle)) any = true;
    if (finishing_ && work_.empty() && !end_) {
      wire::Buffer bytes;
      wire::Stats stats;
      stats.items = items_;
      stats.batches = batches_;
      stats.busy_s = busy_s_;
      stats.wall_s = busy_s_;
      wire::encode(stats, bytes);
      handle(wire::Type::stats, wire::View(bytes), nullptr);
      end_ = WorkerEnd{};
      any = true;
    }
    return any;
  }
  void wait(std::chrono::microseconds timeout) override {
    std::chrono::duration<double> pause = timeout;
    if (due_s_ > 1) pause = std::min(pause, std::chrono::duration<double>(std::max(due_s_ - now_s(), 0.0)));
    std::this_thread::sleep_for(pause);
  }
  std::optional<WorkerEnd> ended() override { return end_; }
  void kill() override { end_ = WorkerEnd{"killed", 9}; }

 private:
  template <typename Message>
  void say(wire::Type type, const Message& message) {
    wire::Buffer bytes;
    wire::encode(message, bytes);
    out_.emplace_back(type, std::move(bytes));
  }
  void say_hello() {
    wire::Hello hello;
    hello.versions.mgpu = std::string(version);
    hello.device_note = "a fake worker";
    say(wire::Type::hello, hello);
  }
  void answer_configure() {
    opened_ = true;
    if (behaviour_.kills_agent_after == 0) raise(SIGKILL);
    if (behaviour_.cannot_open) {
      say(wire::Type::failure, wire::Failure{1, "CUDA error: uncorrectable ECC error encountered", wire::FailureCause::device,
                                             wire::DeviceTrouble::hardware});
      end_ = WorkerEnd{"exit code 1"};
      return;
    }
    wire::Opened opened;
    opened.device = "cpu";
    if (behaviour_.with_column) opened.columns.push_back(double_index);
    say(wire::Type::opened, opened);
  }

  /// Ends the oldest batch if its time has come.
  bool run_front(const OnWorkerFrame& handle) {
    const wire::BatchRange& range = work_.front();
    if (due_s_ == 0) {
      double seconds = 0;
      for (const Item& item : range.items)
        if (const auto sleep = item.column("sleep"); !sleep.empty()) seconds += std::stod(std::string(sleep));
      began_s_ = seconds > 0 ? now_s() : 1;
      due_s_ = began_s_ + seconds;
      if (seconds > 0) return false;
    } else if (now_s() < due_s_) {
      return false;
    }
    if (behaviour_.dies_after >= 0 && static_cast<std::int64_t>(batches_) >= behaviour_.dies_after) {
      end_ = WorkerEnd{"killed by signal 9 (Killed)", 9};
      return false;
    }
    if (behaviour_.kills_agent_after > 0 && static_cast<std::int64_t>(batches_) >= behaviour_.kills_agent_after) raise(SIGKILL);
    busy_s_ += due_s_ - began_s_;
    due_s_ = 0;
    const std::size_t first = range.wanted_rows == 0 ? 0 : range.wanted_begin;
    const std::size_t last = range.wanted_rows == 0 ? range.items.size() : first + range.wanted_rows;
    if (behaviour_.malformed) {
      const wire::Buffer nonsense(256);
      handle(wire::Type::results, wire::View(nonsense), nullptr);
    } else if (behaviour_.in_parts) {
      for (std::size_t row = first; row < last; ++row) send_result(range, row, row + 1, handle);
    } else {
      send_result(range, first, last, handle);
    }
    items_ += range.items.size();
    ++batches_;
    work_.pop_front();
    return true;
  }

  void send_result(const wire::BatchRange& range, std::size_t begin, std::size_t end, const OnWorkerFrame& handle) {
    const std::size_t rows = end - begin;
    status_.assign(rows, static_cast<std::uint8_t>(Status::ok));
    flags_.assign(rows, flag_none);
    seconds_.assign(rows, 0.0F);
    wire::BatchResult result;
    result.batch = range.batch;
    result.first = range.first + begin;
    result.attempt = range.attempt;
    result.status = status_;
    result.flags = flags_;
    result.seconds = seconds_;
    values_.clear();
    if (behaviour_.with_column) {
      for (std::size_t row = begin; row < end; ++row) values_.push_back(2.0 * static_cast<double>(range.items[row].index));
      result.columns.push_back({0, {}, std::as_bytes(std::span(values_))});
    }
    const std::size_t size = wire::encoded_size(result);
    const std::shared_ptr<void> block(std::aligned_alloc(wire::block_alignment, size), [](void* pointer) { std::free(pointer); });
    const wire::BlockPlaces places = wire::encode(result, static_cast<std::byte*>(block.get()));
    wire::make_row_crcs(result, std::vector<ColumnSpec>{double_index}, places.crcs);
    handle(wire::Type::results, {static_cast<std::byte*>(block.get()), size}, block);
  }

  Behaviour behaviour_;
  std::deque<std::pair<wire::Type, wire::Buffer>> out_;
  std::deque<wire::BatchRange> work_;
  std::vector<std::uint8_t> status_, flags_;
  std::vector<float> seconds_;
  std::vector<double> values_;
  bool configured_ = false, opened_ = false, finishing_ = false;
  std::uint64_t items_ = 0, batches_ = 0;
  double due_s_ = 0, began_s_ = 0, busy_s_ = 0;
  std::optional<WorkerEnd> end_;
};

} // namespace mgpu::agent
