#include "agent/status_keeper.hpp"

#include <unistd.h>

#include <cstdlib>

#include "agent/report.hpp"
#include "mgpu/error.hpp"
#include "support/clock.hpp"

namespace mgpu::agent {

void StatusKeeper::begin(const std::string& output, const std::string& host) {
  output_ = output;
  if (const char* token = std::getenv(launch::token_variable); token != nullptr) status_.token = token;
  status_.host = host;
  status_.pid = getpid();
}

void StatusKeeper::running() {
  write(true);
}

void StatusKeeper::beat() {
  constexpr double interval_s = 5;
  const double now = now_s();
  if (!written_ || now - beat_s_ < interval_s) return;
  beat_s_ = now;
  ++status_.beat;
  write(false);
}

void StatusKeeper::done(int exit_code, bool lost_machines) {
  const bool began = exit_code != static_cast<int>(ExitCode::usage);
  if (status_.token.empty() && !began && written_) ::unlink(launch::status_path(output_).c_str());
  if (status_.token.empty() && (!began || !written_)) return; // nothing to tell, and nobody asked
  status_.done = true;
  status_.exit_code = exit_code;
  status_.lost_machines = lost_machines;
  write(true);
}

void StatusKeeper::write(bool durable) {
  if (output_.empty()) return;
  try {
    launch::write_status(output_, status_, durable);
    written_ = true;
  } catch (const Error& error) {
    if (!warned_) print_warning(error.what());
    warned_ = true;
  }
}

} // namespace mgpu::agent
