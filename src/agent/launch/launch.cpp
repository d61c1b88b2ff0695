#include "agent/launch/launch.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string_view>

#include "agent/cli/job_list.hpp"
#include "agent/cli/options.hpp"
#include "agent/launch/child.hpp"
#include "common/support/clock.hpp"
#include "mgpu/error.hpp"

extern char** environ;

namespace mgpu::agent::launch {

namespace {

constexpr double kill_patience_s = 5;
constexpr double look_interval_s = 0.2;
constexpr useconds_t pause_us = 20'000;

std::atomic<int> stop_signals{0}, interrupts{0};

void remember(int number) {
  ++stop_signals;
  if (number == SIGINT) ++interrupts;
}

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = remember;
  for (const int each : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP}) sigaction(each, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

void say(const std::string& line) {
  std::fputs(fmt::format("{} launch: {}\n", program_name(), line).c_str(), stderr);
}

/// Facts about the job that the launcher needs.
struct JobFacts {
  std::string output;       ///< "": the job writes no status (doctor, --dry-run)
  bool reads_input = false; ///< from standard input, which cannot be read twice
  bool overwrites = false;  ///< replaces an older output
  double grace_s = 0;
};

JobFacts facts_of(const std::vector<std::string>& job) {
  JobFacts facts;
  const auto entry =
      std::find_if(job_list().begin(), job_list().end(), [&](const JobEntry& each) { return each.name == job.front(); });
  if (entry == job_list().end()) return facts;
  const std::unique_ptr<Job> made(entry->make());
  const cli::Resolved resolved = cli::resolve(std::string(program_name()), job.front(), *made, {job.begin() + 1, job.end()});
  facts.reads_input = resolved.config.get<std::string>("input") == "-";
  facts.overwrites = resolved.config.get<bool>("overwrite");
  facts.grace_s = resolved.config.get<double>("grace");
  if (!resolved.config.get<bool>("dry-run")) facts.output = resolved.config.get<std::string>("output");
  return facts;
}

/// Whether a restart resumes. With --overwrite only if a start of this job left its unfinished files: the older output must still
/// be replaced.
bool began(const JobFacts& facts) {
  if (!facts.overwrites) return true; // --resume also starts a run that never began
  const auto left = [&](const char* ending) { return std::filesystem::exists(facts.output + ending); };
  return left(".partial") || left(".training");
}

std::string new_token() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

std::vector<std::string> own_variables() {
  std::vector<std::string> names;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view text(*each);
    if (text.starts_with("MGPU_")) names.emplace_back(text.substr(0, text.find('=')));
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// One start of the job, watched until its end.
class Start {
 public:
  Start(const Options& options, const JobFacts& facts, const std::vector<std::string>& command, std::string token)
      : options_(options), facts_(facts), token_(std::move(token)), child_(command, facts.reads_input), moved_s_(now_s()) {}

  End watch() {
    std::optional<int> ended;
    while (!(ended = child_.ended())) {
      usleep(pause_us);
      look();
      pass_on_signals();
      if (const std::string reason = why_end(); !reason.empty()) {
        say(reason);
        child_.end(kill_patience_s);
      }
    }
    looked_s_ = 0;
    look(); // the final status
    end_.asked_to_stop = stop_signals > 0;
    end_.mpirun_code = WIFSIGNALED(*ended) ? 128 + WTERMSIG(*ended) : WEXITSTATUS(*ended);
    say_end(*ended);
    end_leftover();
    return end_;
  }

 private:
  void look() {
    const double now = now_s();
    if (facts_.output.empty() || now - looked_s_ < look_interval_s) return;
    looked_s_ = now;
    const auto status = read_status(facts_.output);
    if (!status || status->token != token_) return;
    if (!end_.spoke || status->beat != end_.status.beat) moved_s_ = now;
    if (status->done && !end_.status.done) done_s_ = now;
    end_.spoke = true;
    end_.status = *status;
  }

  /// mpirun forwards USR1 to its ranks and lets them continue; after TERM and INT it kills them within a fraction of a second.
  void pass_on_signals() {
    if (stop_signals > 0 && asked_s_ == 0) {
      asked_s_ = now_s();
      child_.signal(SIGUSR1);
    }
  }

  std::string why_end() const {
    constexpr double checkpoint_s = 150; // a training writes one before it stops
    const double now = now_s();
    if (interrupts > 1) return "interrupted again: ending mpirun";
    if (done_s_ > 0 && now - done_s_ > options_.linger_s)
      return fmt::format("the job is done, but mpirun still runs after {:.0f} s: ending it", options_.linger_s);
    if (asked_s_ > 0 && done_s_ == 0 && now - asked_s_ > facts_.grace_s + checkpoint_s)
      return "the job did not stop in time: ending mpirun";
    if (!end_.spoke && !facts_.output.empty() && now - moved_s_ > options_.silent_s)
      return fmt::format("mpirun runs, but no rank has said a word for {:.0f} s (--silent): ending it; are all hosts there?",
                         options_.silent_s);
    if (end_.spoke && !end_.status.done && now - moved_s_ > options_.silent_s)
      return fmt::format("no sign of life of rank 0 on {} for {:.0f} s: ending mpirun", end_.status.host, options_.silent_s);
    return "";
  }

  void say_end(int ended) const {
    if (end_.spoke && !end_.status.done && !end_.asked_to_stop)
      say(fmt::format("the job ended without a last word of rank 0 on {} (mpirun: {})", end_.status.host, describe_end(ended)));
  }

  /// Kills a rank 0 on this machine that still runs after mpirun has ended: it would hold the lock of the output.
  void end_leftover() const {
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    if (!end_.spoke || end_.status.host != host.data()) return;
    const auto pid = static_cast<pid_t>(end_.status.pid);
    constexpr double leave_limit_s = 3;
    const auto lives = [pid] {
      std::ifstream file(fmt::format("/proc/{}/comm", pid));
      std::string name;
      return std::getline(file, name) && name == std::string(program_name()).substr(0, 15);
    };
    for (const double limit = now_s() + leave_limit_s; lives() && now_s() < limit;) usleep(pause_us);
    if (lives()) kill(pid, SIGKILL);
    for (const double limit = now_s() + leave_limit_s; lives() && now_s() < limit;) usleep(pause_us);
  }

  const Options& options_;
  const JobFacts& facts_;
  std::string token_;
  Child child_;
  End end_;
  double moved_s_, looked_s_ = 0, done_s_ = 0, asked_s_ = 0;
};

/// Pauses before a restart; false when a signal arrived meanwhile.
bool pause_before(int starts) {
  const double pause_s = std::min(30.0, 1.0 * (1 << std::min(starts - 1, 5)));
  for (const double limit = now_s() + pause_s; now_s() < limit;) {
    if (stop_signals > 0) return false;
    usleep(pause_us);
  }
  return true;
}

} // namespace

int run(const std::vector<std::string>& arguments) {
  Options options = parse(std::string(program_name()), arguments);
  const JobFacts facts = facts_of(options.job);
  if (facts.output.empty() || facts.reads_input) options.max_restarts = 0;
  const int open_mpi = open_mpi_version(output_of({options.mpirun, "--version"}));
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  catch_signals();
  for (int starts = 1;; ++starts) {
    const std::string token = new_token();
    setenv(token_variable, token.c_str(), 1);
    const auto job = starts == 1 || !began(facts) ? options.job : resumed(options.job);
    const End end = Start(options, facts, mpirun_command(options, open_mpi, program, job, own_variables()), token).watch();
    const Verdict verdict = judge(end, starts, options.max_restarts);
    if (!verdict.again) return verdict.exit_code;
    say(fmt::format("starting it again{} ({} of {} restarts)", began(facts) ? " with --resume" : "", starts,
                    options.max_restarts));
    if (!pause_before(starts)) return static_cast<int>(ExitCode::stopped);
  }
}

} // namespace mgpu::agent::launch
