#pragma once
// What agents, rank 0 and workers say to each other. The same frames travel over the socket (agent ↔ worker) and over MPI
// (agent ↔ rank 0), so an agent passes most of them on without looking inside.
#include <cstdint>
#include <string>
#include <vector>

#include "mgpu/columns.hpp"
#include "mgpu/item.hpp"
#include "wire/bytes.hpp"

namespace mgpu::wire {

enum class Type : std::uint32_t {
  // worker → agent → rank 0
  hello = 1, ///< Hello: the worker is up, these are its devices
  progress,  ///< Progress: how far opening is
  opened,    ///< Opened: model ready, output columns known
  results,   ///< BatchResult, encoded by its writer
  log,       ///< Log
  stats,     ///< Stats: once, when the worker has finished
  trace,     ///< Chrome trace events, JSON text without the enclosing brackets
  failure,   ///< Failure: the rank cannot go on
  // rank 0 → agent → worker
  configure, ///< Configure
  grant,     ///< Grant: batches to do
  finish,    ///< no more work: drain, send stats, exit
  // agent ↔ worker only
  shared_results, ///< SharedRange: a BatchResult lies in the ring
  release,        ///< SharedRange: the agent has done with it
  // agent ↔ rank 0 only
  join,      ///< Join: a rank's node and launcher facts
  heartbeat, ///< the agent's loop is alive
  staged,    ///< Staged: the model lies in this node's memory
  stage,     ///< Stage: put the model into this node's memory
  bye,       ///< rank 0: end now, with this exit code; answered by bye
};

/// A GPU as its worker sees it.
struct Device {
  std::string name, uuid, pci_bus_id;
  std::uint64_t memory_bytes = 0;
  std::int32_t index = 0; ///< among the devices visible to the process
};

/// What the software of a rank is, for `doctor` and for refusing mixed builds.
struct Versions {
  std::string mgpu, torch, cuda, nccl, ffmpeg, jpeg;
};

struct Hello {
  std::int32_t pid = 0;
  Versions versions;
  std::vector<Device> devices;
  std::string device_note; ///< why there is no GPU ("CUDA driver not found"), "" where there is
};

struct Progress {
  std::string stage;
  double fraction = 0;
  std::uint64_t memory_bytes = 0; ///< resident memory of the worker
};

struct Opened {
  double seconds = 0;
  std::uint64_t memory_bytes = 0;  ///< resident memory of the worker
  std::vector<ColumnSpec> columns; ///< empty: only known with the first batch (Opened is sent again then)
  std::string device;              ///< "cpu" or "cuda:0 NVIDIA H200"
  std::string uuid;                ///< of the GPU; "" on a CPU
  std::vector<std::string> labels; ///< class names of the bundle, for Job::finish
};

struct Log {
  std::uint8_t level = 0; ///< 0 debug, 1 info, 2 warning, 3 error
  std::string text;
};

struct Stats {
  std::uint64_t items = 0, failed = 0, batches = 0;
  double busy_s = 0;       ///< time in run
  double load_wait_s = 0;  ///< run thread waiting for prepared data while it had work
  double write_wait_s = 0; ///< run thread waiting for room for results
  double grant_wait_s = 0; ///< nothing to do: no grant in hand
  double load_s = 0;       ///< summed over loader threads
  double wall_s = 0;       ///< first grant to last result
  std::uint64_t memory_bytes = 0;
};

struct Failure {
  std::int32_t exit_code = 1; ///< mgpu::ExitCode
  std::string text;
};

struct Configure {
  std::string job;
  std::string config_json; ///< mgpu::Config
  std::string model_path;  ///< what this rank opens (may lie in this node's memory)
  std::int32_t rank = 0, world_size = 1, local_rank = 0, local_size = 1;
  std::string host;
  std::int32_t device = -1; ///< CUDA device index; -1: CPU
  std::string dtype = "float32";
  std::int32_t threads = 1, loaders = 1;
  std::vector<std::int32_t> cores; ///< the worker's share of the node's cores; empty: leave as it is
  std::int64_t batch_size = 1;
  std::int32_t batches_in_flight = 4; ///< grants it may hold: bounds its memory
  std::uint8_t trace = 0;
};

struct BatchRange {
  std::uint64_t batch = 0; ///< id of the lease
  std::uint64_t first = 0; ///< first item
  std::uint32_t attempt = 1;
  std::vector<Item> items; ///< consecutive rows of the manifest, from `first`
};

struct Grant {
  std::vector<BatchRange> batches;
};

struct SharedRange {
  std::uint64_t offset = 0, size = 0;
};

struct Join {
  std::string node; ///< SLURMD_NODENAME, else the host name
  std::string host;
  std::int32_t pid = 0;
  std::int32_t launcher_local_rank = -1;           ///< OMPI_COMM_WORLD_LOCAL_RANK or SLURM_LOCALID; -1: not given
  std::int32_t shared_rank = -1, shared_size = -1; ///< MPI_Comm_split_type(SHARED)
  std::vector<std::int32_t> cores;                 ///< cores this node lets us use
  std::uint64_t memory_free_bytes = 0;
  std::string mpi, hdf5; ///< versions
};

struct Stage {
  std::string path;
};

struct Staged {
  std::string path;  ///< what workers of the node shall open
  std::string error; ///< "" if it worked
  double seconds = 0;
};

void encode(const Hello&, Buffer&);
void encode(const Progress&, Buffer&);
void encode(const Opened&, Buffer&);
void encode(const Log&, Buffer&);
void encode(const Stats&, Buffer&);
void encode(const Failure&, Buffer&);
void encode(const Configure&, Buffer&);
void encode(const Grant&, Buffer&);
void encode(const SharedRange&, Buffer&);
void encode(const Join&, Buffer&);
void encode(const Stage&, Buffer&);
void encode(const Staged&, Buffer&);

/// Decodes a whole message; throws Error when it is torn or has bytes left over.
template <typename Message>
Message decode(View bytes);

} // namespace mgpu::wire
