#pragma once
// Assigns GPUs and cores to ranks. Pure functions of the facts that the ranks report.
#include <cstdint>
#include <string>
#include <vector>

#include "common/wire/control_messages.hpp"

namespace mgpu::agent::comm {

/// The facts that one rank reports.
struct RankFacts {
  wire::Join join;
  wire::Hello hello;
};

struct BindingOptions {
  std::string devices = "auto"; ///< auto, cpu, or a list of indices or UUIDs ("0,2", "GPU-5c…")
  bool oversubscribe = false;   ///< several ranks may share a GPU
  double max_gpu_memory = 2;    ///< share of a GPU's memory that others may use; above 1: any
  int threads = 0;              ///< intra-op threads per rank; 0: its cores
  int loaders = 0;              ///< decoding threads per rank; 0: by its cores
};

struct Binding {
  int local_rank = 0, local_size = 1;
  int device = -1; ///< CUDA index; -1: CPU
  std::vector<std::int32_t> cores;
  int threads = 1, loaders = 1;
};

/// Local rank and number of local ranks, by rank: the launcher's numbers where they are 0 … n − 1, else counted in order of rank.
struct Locality {
  std::vector<int> local_rank, local_size;
  std::vector<std::string> warnings; ///< where the launcher or MPI's shared-memory split disagrees
};
Locality find_locality(const std::vector<RankFacts>& ranks);

/// GPUs that `auto` leaves out because others use their memory, and those of which that is not known: a line each.
std::vector<std::string> describe_left_out(const std::vector<RankFacts>& ranks, const BindingOptions& options);

/// Throws usage_error in one line: no such device, one that others use, more ranks than GPUs, GPU and CPU ranks mixed.
std::vector<Binding> bind_devices(const std::vector<RankFacts>& ranks, const BindingOptions& options, const Locality& locality);

} // namespace mgpu::agent::comm
