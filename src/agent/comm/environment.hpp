#pragma once
// Start and end of MPI in this process, and the launcher's facts about this rank.
#include <cstdint>
#include <memory>
#include <string>

#include "agent/comm/messenger.hpp"
#include "agent/comm/node_reducer.hpp"

namespace mgpu::agent::comm {

/// What started this process.
enum class Launcher : std::uint8_t {
  none,   ///< a shell: a world of one rank
  mpirun, ///< or another program of its kind
  srun,   ///< with PMIx or PMI
};

/// Facts from the launcher's environment variables; -1 or "" where one is missing.
struct LauncherFacts {
  int rank = -1, size = -1, local_rank = -1, local_size = -1;
  std::string node; ///< SLURMD_NODENAME, else the host name
  std::string host; ///< host name
  Launcher launcher = Launcher::none;

  static LauncherFacts read();
};

/// RAII over MPI_Init_thread and MPI_Finalize. Without a launcher MPI is not started at all and the world is this process.
class Environment {
 public:
  /// If MPI_Init does not return within `start_limit_s`, the process ends with exit code 75 and rank 0 prints a line: MPI_Init
  /// waits without limit for a rank that died before it. Throws Error with exit code 75 when an MPI call fails.
  explicit Environment(const LauncherFacts& facts, unsigned start_limit_s = 60);
  ~Environment() { close(0); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  /// Valid until close().
  Messenger& messenger() { return *messenger_; }
  /// Sums over nodes; nullptr without MPI. Valid until close().
  NodeReducer* reducer() { return reducer_.get(); }
  int shared_rank() const { return shared_rank_; } ///< of MPI_Comm_split_type(SHARED); -1 without MPI
  int shared_size() const { return shared_size_; }
  /// "Open MPI v5.0.10", "none".
  static std::string version();
  /// All-reduces one number per rank and compares the sum with the expected one; for `doctor`. Returns the seconds; throws Error.
  double self_test();
  /// Whether the launcher keeps the other ranks alive when one dies.
  bool survives_failures() const { return survives_failures_; }
  /// Calls MPI_Finalize; if it does not return in time, the process ends with `exit_code`. messenger() and reducer() are invalid
  /// afterwards.
  void close(int exit_code);

 private:
  bool started_ = false;
  bool survives_failures_ = false;
  int shared_rank_ = -1, shared_size_ = -1;
  std::unique_ptr<Messenger> messenger_;
  std::unique_ptr<NodeReducer> reducer_;
};

} // namespace mgpu::agent::comm
