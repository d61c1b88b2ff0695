#include "agent/coordinator/status_writer.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "agent/coordinator/report.hpp"
#include "common/support/clock.hpp"
#include "common/support/say.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent {

namespace {
/// Shorter than the time after which other ranks give rank 0 up.
constexpr double patience_s = 10;
} // namespace

void StatusWriter::begin(const std::string& output, const std::string& host) {
  output_ = output;
  if (const char* token = std::getenv(launch::token_variable); token != nullptr) status_.token = token;
  status_.host = host;
  status_.pid = getpid();
  if (!status_.token.empty() && !output_.empty()) say_early();
}

/// `mgpu_run launch` waits for the first status. The file of a live run is left alone: this process has no lock yet.
void StatusWriter::say_early() {
  disk_.post([output = output_, status = status_, written = written_] {
    constexpr auto alive_for = std::chrono::seconds(60);
    namespace fs = std::filesystem;
    std::error_code missing;
    const auto changed = fs::last_write_time(launch::status_path(output), missing);
    const auto other = launch::read_status(output);
    if (other && !other->done && !missing && fs::file_time_type::clock::now() - changed < alive_for) return;
    launch::write_status(output, status, false);
    *written = true;
  });
}

void StatusWriter::running() {
  write(true);
  disk_.drain(patience_s);
}

void StatusWriter::beat() {
  constexpr double interval_s = 5;
  const double now = now_s();
  if (ended_ || !*written_ || now - beat_s_ < interval_s || !disk_.idle()) return;
  beat_s_ = now;
  ++status_.beat;
  write(false);
}

void StatusWriter::done(int exit_code, bool lost_machines) {
  ended_ = true;
  const bool began = exit_code != static_cast<int>(ExitCode::usage);
  if (status_.token.empty() && (!began || !*written_)) { // no run to report, and no launcher that waits
    if (*written_) disk_.post([path = launch::status_path(output_)] { ::unlink(path.c_str()); });
    disk_.drain(patience_s);
    return;
  }
  status_.done = true;
  status_.exit_code = exit_code;
  status_.lost_machines = lost_machines;
  write(true);
  if (!disk_.drain(patience_s))
    print_warning(fmt::format("{} cannot be written: its folder does not answer", launch::status_path(output_)));
}

void StatusWriter::write(bool durable) {
  if (output_.empty()) return;
  disk_.post([output = output_, status = status_, durable, written = written_, warned = warned_] {
    try {
      launch::write_status(output, status, durable);
      *written = true;
    } catch (const Error& error) {
      if (!warned->exchange(true)) print_warning(error.what());
    }
  });
}

} // namespace mgpu::agent
