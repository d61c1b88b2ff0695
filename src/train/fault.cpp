#include "train/fault.hpp"

#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "mgpu/error.hpp"
#include "support/text.hpp"

namespace mgpu::train {

namespace {

std::int64_t number(std::string_view text, const std::string& whole) {
  std::int64_t value = 0;
  if (!parse_number(text, value) || value < 0) throw usage_error(fmt::format("--fault {}: '{}' is not a number", whole, text));
  return value;
}

} // namespace

Faults::Faults(const std::string& text, int rank) {
  for (const std::string_view each : split_trimmed(text, ';')) {
    if (each.empty()) continue;
    const std::size_t colon = std::min(each.find(':'), each.size());
    Fault fault;
    fault.kind = trimmed(each.substr(0, colon));
    if (fault.kind != "oom" && fault.kind != "nan" && fault.kind != "kill" && fault.kind != "hang")
      throw usage_error(fmt::format("--fault {}: there are oom, nan, kill and hang", text));
    for (const std::string_view setting : split_trimmed(each.substr(std::min(colon + 1, each.size())), ',')) {
      const std::size_t equals = setting.find('=');
      const std::string_view key = trimmed(setting.substr(0, equals));
      std::int64_t* value = key == "rank" ? &fault.rank : key == "step" ? &fault.step : key == "above" ? &fault.above : nullptr;
      if (value == nullptr || equals == std::string_view::npos)
        throw usage_error(fmt::format("--fault {}: '{}' is not rank=N, step=N or above=N", text, setting));
      *value = number(trimmed(setting.substr(equals + 1)), text);
    }
    if (fault.rank < 0 || fault.rank == rank) faults_.push_back(std::move(fault));
  }
}

bool Faults::any(const char* kind) const {
  for (const Fault& fault : faults_)
    if (fault.kind == kind) return true;
  return false;
}

void Faults::before_forward(std::uint64_t step, std::int64_t rows) {
  for (Fault& fault : faults_) {
    if (fault.spent || (fault.step >= 0 && static_cast<std::uint64_t>(fault.step) != step)) continue;
    if (fault.kind == "oom") {
      if (fault.above >= 0 ? rows <= fault.above : rows < 2) continue;
      fault.spent = fault.above < 0;
      TORCH_CHECK_WITH(OutOfMemoryError, false, "out of memory, as --fault asked");
    }
    if (fault.kind == "kill") raise(SIGKILL);
    if (fault.kind == "hang") std::this_thread::sleep_for(std::chrono::hours(24));
  }
}

bool Faults::spoils_loss(std::uint64_t step) const {
  for (const Fault& fault : faults_)
    if (fault.kind == "nan" && (fault.step < 0 || static_cast<std::uint64_t>(fault.step) == step)) return true;
  return false;
}

} // namespace mgpu::train
