#pragma once
// MPI's life in this process, and what the launcher says of this rank.
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

/// Facts a launcher leaves in the environment; -1 or "" where it does not.
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
  /// A process whose ranks have not all reached each other after `start_limit_s` ends with exit code 75 and a line from rank 0: MPI_Init
  /// waits for ever for a rank that died on its way. Throws Error (75 as well where MPI says that one died).
  explicit Environment(const LauncherFacts& facts, unsigned start_limit_s = 60);
  ~Environment() { close(0); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  /// Valid until the environment goes.
  Messenger& messenger() { return *messenger_; }
  /// Sums over nodes; nullptr without MPI. Valid until the environment goes.
  NodeReducer* reducer() { return reducer_.get(); }
  int shared_rank() const { return shared_rank_; } ///< of MPI_Comm_split_type(SHARED); -1 without MPI
  int shared_size() const { return shared_size_; }
  /// "Open MPI v5.0.10", "none".
  static std::string version();
  /// All-reduce of one number a rank against the sum each rank computes itself; for `doctor`. Seconds, or throws Error.
  double self_test();
  /// Whether the launcher lets the other ranks go on when one dies.
  bool survives_failures() const { return survives_failures_; }
  /// MPI_Finalize; where it does not come back in time the process ends with `exit_code`. Nothing of this object is valid any more.
  void close(int exit_code);

 private:
  bool started_ = false;
  bool survives_failures_ = false;
  int shared_rank_ = -1, shared_size_ = -1;
  std::unique_ptr<Messenger> messenger_;
  std::unique_ptr<NodeReducer> reducer_;
};

} // namespace mgpu::agent::comm
