#pragma once
// The options of `mgpu_run launch`, and the mpirun command that follows from them.
#include <string>
#include <vector>

namespace mgpu::agent::launch {

struct Options {
  int ranks = 0;
  std::string hosts; ///< "a:2,b:2", "a,b" or ""
  int max_restarts = 3;
  double linger_s = 30;  ///< mpirun may stay this long after the job is done
  double silent_s = 180; ///< without a new beat in the status file the job counts as lost
  std::string mpirun = "mpirun";
  std::vector<std::string> mpi_args; ///< passed to mpirun
  std::vector<std::string> job;      ///< the job's name and its arguments
};

/// Parses the arguments after `launch`. Throws usage_error; cli::HelpWanted for --help.
Options parse(const std::string& program, const std::vector<std::string>& arguments);

/// The major version of Open MPI, 4 or later, in the output of `mpirun --version`. Throws usage_error for any other mpirun.
int open_mpi_version(const std::string& printed);

/// The job's arguments for a restart: with --resume, and never with --overwrite.
std::vector<std::string> resumed(const std::vector<std::string>& job);

/// The complete command. `variables`: names of environment variables to export to the ranks.
std::vector<std::string> mpirun_command(const Options& options, int open_mpi, const std::string& program,
                                        const std::vector<std::string>& job, const std::vector<std::string>& variables);

} // namespace mgpu::agent::launch
