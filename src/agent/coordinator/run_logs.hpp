#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "agent/setup/run_setup.hpp"
#include "common/support/background.hpp"
#include "common/support/rank_logs.hpp"
#include "common/support/trace.hpp"
#include "common/wire/bytes.hpp"

namespace mgpu::agent {

/// --log-dir and --trace. Their folder may stall, the event loop must not: they are written by a thread of their own, and lines are dropped
/// when it falls behind.
class RunLogs {
 public:
  /// Throws Error when the files cannot be created.
  void open(const RunSetup& setup);
  void log(int rank, int level, std::string_view text);
  bool traces() const { return trace_ != nullptr; }
  /// Events of a rank's worker, as JSON.
  void trace(wire::View events);

 private:
  void post(std::function<void()> write, std::size_t bytes);

  std::shared_ptr<TraceFile> trace_;
  std::shared_ptr<RankLogs> logs_;
  Background disk_;
  bool told_slow_ = false;
};

} // namespace mgpu::agent
