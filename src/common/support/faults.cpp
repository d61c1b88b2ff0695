#include "common/support/faults.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <new>
#include <string_view>
#include <thread>

#include "common/support/text.hpp"
#include "mgpu/error.hpp"

namespace mgpu {

namespace {

constexpr std::array<std::string_view, 9> kinds{"kill", "segv", "abort", "hang", "oom", "nan", "gpu-lost", "enospc", "io"};

std::int64_t number(std::string_view text, const std::string& whole) {
  std::int64_t factor = 1, value = 0;
  for (const auto& [ending, times] : {std::pair{"kB", 1'000}, {"MB", 1'000'000}, {"GB", 1'000'000'000}})
    if (text.ends_with(ending)) {
      text.remove_suffix(2);
      factor = times;
    }
  if (!parse_number(trimmed(text), value) || value < 0)
    throw usage_error(fmt::format("--fault {}: '{}' is not a number", whole, text));
  return value * factor;
}

/// Ends or stops the process, if `kind` is such a fault.
void strike(const std::string& kind) {
  if (kind == "kill") raise(SIGKILL);
  if (kind == "segv") raise(SIGSEGV);
  if (kind == "abort") std::abort();
  if (kind == "hang") std::this_thread::sleep_for(std::chrono::hours(24));
}

} // namespace

Faults::Faults(const std::string& text, int rank) {
  for (const std::string_view each : split_trimmed(text, ';')) {
    if (each.empty()) continue;
    const std::size_t colon = std::min(each.find(':'), each.size());
    Fault fault;
    fault.kind = trimmed(each.substr(0, colon));
    if (std::find(kinds.begin(), kinds.end(), fault.kind) == kinds.end())
      throw usage_error(fmt::format("--fault {}: '{}' is none of {}", text, fault.kind, fmt::join(kinds, ", ")));
    for (const std::string_view setting : split_trimmed(each.substr(std::min(colon + 1, each.size())), ',')) {
      if (setting.empty()) continue;
      const std::size_t equals = std::min(setting.find('='), setting.size());
      const std::string_view key = trimmed(setting.substr(0, equals));
      const std::array<std::pair<std::string_view, std::int64_t*>, 7> keys{{{"rank", &fault.rank},
                                                                            {"item", &fault.item},
                                                                            {"batch", &fault.batch},
                                                                            {"step", &fault.step},
                                                                            {"above", &fault.above},
                                                                            {"times", &fault.times},
                                                                            {"after", &fault.after}}};
      const auto found = std::find_if(keys.begin(), keys.end(), [&](const auto& one) { return one.first == key; });
      if (found == keys.end() || equals == setting.size())
        throw usage_error(
            fmt::format("--fault {}: '{}' is not KEY=N, KEY one of rank, item, batch, step, above, times, after", text, setting));
      *found->second = number(trimmed(setting.substr(equals + 1)), text);
    }
    if (fault.kind == "enospc" && fault.after < 0) throw usage_error(fmt::format("--fault {}: enospc needs after=BYTES", text));
    if (rank < 0 || fault.rank < 0 || fault.rank == rank) faults_.push_back(std::move(fault));
  }
}

bool Faults::any(const char* kind) const {
  return std::any_of(faults_.begin(), faults_.end(), [&](const Fault& fault) { return fault.kind == kind; });
}

void Faults::before_item(std::uint64_t item, std::uint32_t attempt) const {
  for (const Fault& fault : faults_) {
    if (fault.kind == "io" && fault.everywhere() && fault.in_time(attempt)) throw io_error("no such file, as --fault asked");
    if (fault.item < 0 || static_cast<std::uint64_t>(fault.item) != item || !fault.in_time(attempt)) continue;
    strike(fault.kind);
    if (fault.kind == "oom") throw std::bad_alloc();
    if (fault.kind == "io") throw io_error("no such file, as --fault asked");
  }
}

void Faults::before_batch(std::uint64_t batch, std::uint32_t attempt) const {
  for (const Fault& fault : faults_) {
    if (fault.item >= 0 || fault.step >= 0 || !fault.in_time(attempt)) continue;
    if (fault.batch >= 0 && static_cast<std::uint64_t>(fault.batch) != batch) continue;
    strike(fault.kind);
    if (fault.kind == "gpu-lost") {
      Error error("CUDA error: the device is lost, as --fault asked");
      error.cause = Cause::device;
      throw error;
    }
  }
}

void Faults::before_step(std::uint64_t step, std::uint32_t attempt) const {
  for (const Fault& fault : faults_) {
    const bool here = fault.everywhere() || (fault.step >= 0 && static_cast<std::uint64_t>(fault.step) == step);
    if (here && fault.in_time(attempt)) strike(fault.kind);
  }
}

void Faults::run_out(std::int64_t Fault::*where, std::uint64_t at, std::int64_t rows) {
  for (Fault& fault : faults_) {
    if (fault.kind != "oom" || fault.spent) continue;
    if (!fault.everywhere() && (fault.*where < 0 || static_cast<std::uint64_t>(fault.*where) != at)) continue;
    if (fault.above >= 0 ? rows <= fault.above : rows < 2) continue;
    fault.spent = fault.above < 0;
    throw std::bad_alloc();
  }
}

void Faults::before_rows_of_batch(std::uint64_t batch, std::int64_t rows) {
  run_out(&Fault::batch, batch, rows);
}
void Faults::before_rows_of_step(std::uint64_t step, std::int64_t rows) {
  run_out(&Fault::step, step, rows);
}

bool Faults::spoils(std::int64_t Fault::*where, std::uint64_t at) const {
  return std::any_of(faults_.begin(), faults_.end(), [&](const Fault& fault) {
    return fault.kind == "nan" && (fault.everywhere() || (fault.*where >= 0 && static_cast<std::uint64_t>(fault.*where) == at));
  });
}

bool Faults::spoils_item(std::uint64_t item) const {
  return spoils(&Fault::item, item);
}
bool Faults::spoils_step(std::uint64_t step) const {
  return spoils(&Fault::step, step);
}

std::optional<std::uint64_t> Faults::disk_full_after() const {
  for (const Fault& fault : faults_)
    if (fault.kind == "enospc") return static_cast<std::uint64_t>(fault.after);
  return std::nullopt;
}

} // namespace mgpu
