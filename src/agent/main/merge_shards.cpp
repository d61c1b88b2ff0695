#include "agent/main/merge_shards.hpp"

#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "agent/cli/job_list.hpp"
#include "agent/coordinator/report.hpp"
#include "agent/write/hdf5/read_file.hpp"
#include "agent/write/tools/tools.hpp"
#include "common/support/clock.hpp"
#include "common/support/say.hpp"
#include "common/support/text.hpp"
#include "common/support/whole_file.hpp"
#include "mgpu/job.hpp"
#include "mgpu/version.hpp"

namespace mgpu::agent {

namespace {

/// What a job prints at its end depends on all rows, so each shard has printed its own only.
void finish_job_of(const std::string& job, const std::string& output) {
  for (const JobEntry& entry : job_list()) {
    if (entry.name != job) continue;
    const write::ReadFile file(output);
    const std::unique_ptr<Job> made(entry.make());
    return finish_job(*made, Config(nlohmann::json::parse(file.text("config"))), file);
  }
  print_notice(fmt::format("{} does not have the job {}: what it prints at its end is left out", program_name(), printable(job)));
}

/// As a run's, with the time that merging took.
void write_merge_summary(const write::MergedRun& merged, const std::string& output, double seconds, ExitCode code) {
  const nlohmann::json summary{{"job", merged.job},
                               {"output", output},
                               {"version", version},
                               {"items", merged.items},
                               {"done", merged.ok + merged.failed},
                               {"ok", merged.ok},
                               {"failed", merged.failed},
                               {"flagged", merged.flagged},
                               {"complete", true},
                               {"shards", merged.shards},
                               {"seconds", seconds},
                               {"items_per_second", seconds > 0 ? static_cast<double>(merged.items) / seconds : 0.0},
                               {"stopped", ""},
                               {"error", ""},
                               {"exit_code", static_cast<int>(code)}};
  try {
    write_whole_file(output + ".summary.json", summary.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n');
  } catch (const Error& error) {
    print_warning(error.what()); // the result is whole, and the exit code says how it ended
  }
}

} // namespace

int merge_shards(const std::vector<std::string>& shards, const std::string& output, bool overwrite) {
  const double began_s = now_s();
  std::string command = fmt::format("{} merge", program_name());
  for (const std::string& shard : shards) command += ' ' + shard;
  command += fmt::format(" -o {}{}", output, overwrite ? " --overwrite" : "");
  const write::MergedRun merged = write::merge(shards, output, overwrite, command, std::cout);
  const ExitCode code = merged.failed > 0 ? ExitCode::items_failed : ExitCode::ok;
  write_merge_summary(merged, output, now_s() - began_s, code);
  std::cout.flush();
  finish_job_of(merged.job, output);
  return static_cast<int>(code);
}

} // namespace mgpu::agent
