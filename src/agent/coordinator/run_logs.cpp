#include "agent/coordinator/run_logs.hpp"

#include <utility>

#include "common/support/say.hpp"

namespace mgpu::agent {

void RunLogs::open(const RunSetup& setup) {
  if (!setup.trace.empty()) trace_ = std::make_shared<TraceFile>(setup.trace);
  if (!setup.log_dir.empty()) logs_ = std::make_shared<RankLogs>(setup.log_dir);
}

void RunLogs::log(int rank, int level, std::string_view text) {
  if (logs_) post([logs = logs_, rank, level, line = std::string(text)] { logs->write(rank, level, line); }, text.size());
}

void RunLogs::trace(wire::View events) {
  if (!trace_) return;
  std::string text(reinterpret_cast<const char*>(events.data()), events.size());
  post([trace = trace_, text = std::move(text)] { trace->append(text); }, events.size());
}

void RunLogs::post(std::function<void()> write, std::size_t bytes) {
  if (!disk_.post(std::move(write), bytes) && !std::exchange(told_slow_, true))
    print_warning("--log-dir, --trace: their folder does not keep up; lines are left out");
}

} // namespace mgpu::agent
