#pragma once
// The command line: which options there are, and what they come to (flag > environment > file > default).
#include <string>
#include <string_view>
#include <vector>

#include "mgpu/config.hpp"
#include "mgpu/job.hpp"

namespace mgpu::agent::cli {

/// The options every job has, in the order help shows them.
const std::vector<OptionSpec>& common_options();

/// Whether another value of one of them may give other results; most say how a run goes, not what comes out. A job's own all count.
bool changes_results(std::string_view common_option);

/// Where an option's value came from, for the table a run prints.
struct Origin {
  std::string name, value;
  std::string source;           ///< "flag", "environment MGPU_X", "file run.toml", "default"
  bool changes_results = false; ///< a run that was begun with one value cannot be gone on with another
};

struct Resolved {
  Config config;
  std::vector<Origin> origins; ///< in the order of the options
};

/// `mgpu_run JOB --help`: thrown through, printed by main, exit 0.
struct HelpWanted {
  std::string text;
};

/// Resolves a job's options from `arguments` (what follows the job's name; `--a_b` is `--a-b`), the environment (MGPU_A_B) and
/// the file of --config. Throws usage_error in one line: unknown option (with the nearest known one), value of the wrong type or
/// not among the choices; HelpWanted for --help.
Resolved resolve(const std::string& program, const std::string& job_name, const Job& job,
                 const std::vector<std::string>& arguments);

/// The table of resolved options: those the user set a line each, the defaults in a few lines.
std::string describe(const Resolved& resolved);

} // namespace mgpu::agent::cli
