#pragma once
// The life of ranks and workers: who is there, what they shall work with, how they are watched, how they end.
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "common/wire/message.hpp"
#include "mgpu/columns.hpp"

namespace mgpu::wire {

/// A GPU as its worker sees it.
struct Device {
  std::string name, uuid, pci_bus_id;
  std::uint64_t memory_bytes = 0;
  std::int32_t index = 0;          ///< among the devices visible to the process
  std::vector<std::int32_t> cores; ///< of its socket; empty: unknown
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

/// What is to be trained, as a rank that opened it sees it.
struct Trainable {
  std::uint64_t parameters = 0; ///< trainable numbers
  std::string signature;        ///< of their names, shapes and order: equal on all ranks, and in a checkpoint that fits
  std::string nccl_id;          ///< ncclUniqueId; rank 0 on a GPU only
  std::int64_t batch_size = 0;  ///< largest micro-batch that fits this rank (--batch-size auto), else as configured
};

struct Opened {
  double seconds = 0;
  std::uint64_t memory_bytes = 0;  ///< resident memory of the worker
  std::vector<ColumnSpec> columns; ///< empty: only known with the first batch (Opened is sent again then)
  std::string device;              ///< "cpu" or "cuda:0 NVIDIA H200"
  std::string uuid;                ///< of the GPU; "" on a CPU
  std::vector<std::string> labels; ///< class names of the bundle, for Job::finish
  Trainable trainable;             ///< training only
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
  double forward_s = 0, backward_s = 0, reduce_wait_s = 0, update_s = 0; ///< training: the parts of busy_s
  std::uint64_t memory_bytes = 0;
};

/// What a failure says of the GPU.
enum class DeviceTrouble : std::uint8_t {
  none = 0,
  context =
      1, ///< this process can use it no more (an assertion or an illegal address in a kernel): the program's or the data's fault
  hardware = 2 ///< the GPU is sick (uncorrectable memory, broken link, unavailable)
};

/// What a failure or a death is put down to. Decisions read this; the text is for people.
enum class FailureCause : std::uint8_t {
  // the worker reports it
  other = 0,  ///< the job, the data, the network
  usage,      ///< unusable input, model or options
  memory,     ///< host or device memory ran out
  device,     ///< the GPU; DeviceTrouble says how
  collective, ///< NCCL: another rank is missing, or a link is broken
  // its agent finds it
  signal, ///< a signal ended the process
  exit,   ///< the process ended without a report
  late,   ///< it took too long, and its agent ended it
};

/// Whether the worker itself gave the reason.
constexpr bool is_reported(FailureCause cause) {
  return cause < FailureCause::signal;
}

struct Failure {
  std::int32_t exit_code = 1; ///< mgpu::ExitCode
  std::string text;
  FailureCause cause = FailureCause::other;
  DeviceTrouble device = DeviceTrouble::none;
};

/// Items first … first + rows - 1 of a batch, that were in the worker's hands when it died.
struct Suspect {
  std::uint64_t batch = 0, first = 0;
  std::uint32_t rows = 0;
  std::uint8_t part = 0; ///< of a training: DataPart
};

struct Died {
  std::string reason;     ///< "killed by signal 11 (Segmentation fault) while preparing item 17"
  std::string last_words; ///< the last lines it wrote to its standard error
  FailureCause cause = FailureCause::other;
  DeviceTrouble device = DeviceTrouble::none;
  std::uint8_t certain = 0; ///< 1: what killed it is among the suspects; 0: it may have come from outside
  std::uint8_t stalled = 0; ///< 1: late, as it waited for items to be read: the item, or the server they lie on
  std::uint8_t retired = 0; ///< 1: no other worker will be started, the rank is out
  std::vector<Suspect> suspects;
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

/// How an agent watches its worker.
struct Supervise {
  double item_timeout_s = 0, stall_timeout_s = 0; ///< 0: no limit; item_timeout_s < 0: by the times that it measures
  std::int64_t batch_size = 1;                    ///< a batch may take so many times item_timeout_s
  std::uint8_t restarts = 0;        ///< 1: another worker takes the place of one that dies; 0: the rank ends with it
  std::int32_t max_restarts = -1;   ///< deaths one after another before the rank is given up; -1: any number, as rank 0 counts
  std::string gpu_uuid;             ///< of the worker's GPU, whose health is told; "": none
  double max_gpu_temperature_c = 0; ///< it is held from there on; 0: no limit
  double health_interval_s = 5;     ///< between two samples
};

/// A GPU as its driver shows it at one moment. NaN and -1: unknown.
struct GpuSample {
  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  double temperature_c = unknown, slowdown_c = unknown; ///< slowdown_c: from there on it slows itself down
  double utilization_percent = unknown, power_w = unknown, sm_clock_mhz = unknown;
  std::int64_t memory_used_bytes = -1, memory_total_bytes = -1;
  std::int64_t throttle_reasons = -1; ///< bits of nvmlClocksEventReasons
  std::int64_t uncorrected_ecc = -1;  ///< memory errors since the driver was loaded
  std::int32_t remap_pending = -1;    ///< 1: a memory row is replaced at the next reset
  std::int32_t remap_failed = -1;     ///< 1: a memory row could not be replaced
};

/// What an agent makes of its GPU.
enum class GpuState : std::uint8_t {
  fine = 0,
  held,    ///< too hot: it gets no new work until it has cooled down
  drained, ///< it fails: it gets no work any more
};

struct Health {
  GpuSample sample;
  std::vector<std::uint32_t> xids; ///< since the message before
  GpuState state = GpuState::fine;
  std::string reason;                ///< of the state
  std::vector<std::string> warnings; ///< new ones
};

/// Memory of a GPU that is in use.
struct GpuMemory {
  std::string uuid;
  std::uint64_t used_bytes = 0, total_bytes = 0;
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
  std::string mpi, hdf5;                                        ///< versions
  std::vector<std::pair<std::string, std::string>> bad_devices; ///< UUIDs of GPUs to be left out, and why
  std::vector<GpuMemory> gpu_memory; ///< before this run has any; only asked where --max-gpu-memory may be set
  std::string gpu_memory_note;       ///< why it is not known of some
};

struct Heartbeat {
  double timeout_s = 0; ///< the others may miss rank 0 for so long
  std::int32_t pid = 0; ///< of rank 0's agent
  std::string node;     ///< where it runs
};

struct EndAgent {
  std::int32_t pid = 0;
};

struct Bye {
  std::int32_t exit_code = 0;
  std::uint8_t without_finalize = 0; ///< a rank is lost: MPI_Finalize would wait for it
};

struct Signal {
  std::int32_t number = 0;
  std::uint8_t from_launcher = 0; ///< mpirun's own TERM: it kills soon
  std::uint8_t at_once = 0;       ///< INT for the second time
};

struct Stage {
  std::string path;
  double stall_s = 0; ///< the copy may stand still so long; 0: for ever
};

struct Staged {
  std::string path;       ///< what workers of the node shall open
  std::string error;      ///< "" if it worked
  std::uint8_t still = 0; ///< the error: the file system does not answer
  double seconds = 0;
};

} // namespace mgpu::wire
