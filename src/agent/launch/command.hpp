#pragma once
// What a user asks of `mgpu_run launch`, and the mpirun command that it comes to.
#include <string>
#include <vector>

namespace mgpu::agent::launch {

struct Options {
  int ranks = 0;
  std::string hosts; ///< "a:2,b:2", "a,b" or ""
  int max_restarts = 3;
  double linger_s = 30;  ///< mpirun may stay this long after the job is done
  double silent_s = 180; ///< without a new beat in the status file the job is lost
  std::string mpirun = "mpirun";
  std::vector<std::string> mpi_args; ///< passed on
  std::vector<std::string> job;      ///< the job's name and its arguments
};

/// From what follows `launch` on the command line. Throws usage_error; cli::HelpWanted for --help.
Options parse(const std::string& program, const std::vector<std::string>& arguments);

/// Whose mpirun it is, from what `mpirun --version` prints: 4 or 5 (and later) of Open MPI. Throws usage_error for any other.
int open_mpi_version(const std::string& printed);

/// The job's arguments for a start after the first: with --resume, and never with --overwrite.
std::vector<std::string> resumed(const std::vector<std::string>& job);

/// The whole command. `variables`: names of environment variables that the ranks need on other hosts, too.
std::vector<std::string> mpirun_command(const Options& options, int open_mpi, const std::string& program,
                                        const std::vector<std::string>& job, const std::vector<std::string>& variables);

} // namespace mgpu::agent::launch
