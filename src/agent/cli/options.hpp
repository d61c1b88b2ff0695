#pragma once
// The command line: the options and their resolved values (flag > environment > file > default).
#include <string>
#include <string_view>
#include <vector>

#include "mgpu/config.hpp"
#include "mgpu/job.hpp"

namespace mgpu::agent::cli {

/// The options every job has, in the order help shows them.
const std::vector<OptionSpec>& common_options();

/// Whether another value of a common option can change results; most only affect how a run proceeds. All of a job's options do.
bool changes_results(std::string_view common_option);

/// Where an option's value came from, for the table a run prints.
struct Origin {
  std::string name, value;
  std::string source;           ///< "flag", "environment MGPU_X", "file run.toml", "default"
  bool changes_results = false; ///< a resume with another value is refused
};

struct Resolved {
  Config config;
  std::vector<Origin> origins; ///< in the order of the options
};

/// `mgpu_run JOB --help`: thrown by resolve(), printed by main, exit code 0.
struct HelpWanted {
  std::string text;
};

/// Resolves a job's options from `arguments` (what follows the job's name; `--a_b` is `--a-b`), the environment (MGPU_A_B) and
/// the file of --config. Throws usage_error in one line: unknown option (with the nearest known one), value of the wrong type or
/// not among the choices; HelpWanted for --help.
Resolved resolve(const std::string& program, const std::string& job_name, const Job& job,
                 const std::vector<std::string>& arguments);

/// The table of resolved options: one line for each option that the user set, a few lines for the defaults.
std::string describe(const Resolved& resolved);

} // namespace mgpu::agent::cli
