#pragma once
#include <cstdint>
#include <functional>

#include "common/support/clock.hpp"
#include "common/wire/training_messages.hpp"
#include "worker/collective/exchange.hpp"
#include "worker/train/progress.hpp"
#include "worker/train/settings.hpp"
#include "worker/train/step_facts.hpp"

namespace mgpu::worker::train {

/// The report of a completed step. `backwards`: micro-batches of this rank.
wire::Step step_record(const Plan& plan, const Progress& progress, const StepFacts& facts, const collective::StepResult& result,
                       std::uint32_t backwards, double taken_s);

/// Reports optimizer steps to rank 0's agent, several short ones in one message. Used by rank 0's trainer only.
class StepReporter {
 public:
  static constexpr double most_delay_s = 0.1;
  static constexpr std::size_t most_unsent = 256; ///< steps

  explicit StepReporter(std::function<void(const wire::Steps&)> send, Clock clock = now_s)
      : send_(std::move(send)), clock_(std::move(clock)) {}
  /// Reports the total number of steps, even if none is left.
  void begin(std::uint64_t total);
  void add(const wire::Step& step);
  /// Reports the remaining steps; call it before any report that refers to them.
  void flush();

 private:
  std::function<void(const wire::Steps&)> send_;
  Clock clock_;
  wire::Steps unsent_;
  double sent_s_ = 0;
};

} // namespace mgpu::worker::train
