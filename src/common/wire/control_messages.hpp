#pragma once
// Messages about ranks and workers: join, configuration, supervision, end.
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

/// Versions of a rank's software, for `doctor` and for refusing mixed builds.
struct Versions {
  std::string mgpu, torch, cuda, nccl, ffmpeg, jpeg;
};

struct Hello {
  std::int32_t pid = 0;
  Versions versions;
  std::vector<Device> devices;
  std::string device_note; ///< why there is no GPU ("CUDA driver not found"); "" if there is one
};

struct Progress {
  std::string stage;
  double fraction = 0;
  std::uint64_t memory_bytes = 0; ///< resident memory of the worker
};

/// The network to train, as opened by a rank.
struct Trainable {
  std::uint64_t parameters = 0; ///< number of trainable values
  std::string signature; ///< of names, shapes and order of the parameters: equal on all ranks, and in a checkpoint that fits
  std::string nccl_id;   ///< ncclUniqueId; rank 0 on a GPU only
  std::int64_t batch_size = 0; ///< largest micro-batch that fits this rank (--batch-size auto), else as configured
};

struct Opened {
  double seconds = 0;
  std::uint64_t memory_bytes = 0;  ///< resident memory of the worker
  std::vector<ColumnSpec> columns; ///< empty: unknown before the first batch (Opened is then sent again)
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
  double write_wait_s = 0; ///< run thread waiting for space for results
  double grant_wait_s = 0; ///< no granted batch
  double load_s = 0;       ///< summed over loader threads
  double wall_s = 0;       ///< first grant to last result
  double forward_s = 0, backward_s = 0, reduce_wait_s = 0, update_s = 0; ///< training: the parts of busy_s
  std::uint64_t memory_bytes = 0;
};

/// The state of the GPU after a failure.
enum class DeviceTrouble : std::uint8_t {
  none = 0,
  context = 1, ///< unusable for this process (an assertion or an illegal address in a kernel), because of the program or the data
  hardware = 2 ///< the GPU is faulty (uncorrectable memory error, broken link, unavailable)
};

/// The cause of a failure or death. Decisions use the cause; the text is for users.
enum class FailureCause : std::uint8_t {
  // reported by the worker
  other = 0,  ///< the job, the data, the network
  usage,      ///< unusable input, model or options
  memory,     ///< host or device memory ran out
  device,     ///< the GPU; details in DeviceTrouble
  collective, ///< NCCL: another rank is missing, or a link is broken
  // detected by its agent
  signal, ///< a signal ended the process
  exit,   ///< the process ended without a report
  late,   ///< it took too long, and its agent ended it
};

/// Whether the worker itself reported the cause.
constexpr bool is_reported(FailureCause cause) {
  return cause < FailureCause::signal;
}

struct Failure {
  std::int32_t exit_code = 1; ///< mgpu::ExitCode
  std::string text;
  FailureCause cause = FailureCause::other;
  DeviceTrouble device = DeviceTrouble::none;
};

/// Items first … first + rows - 1 of a batch, which the worker was processing when it died.
struct Suspect {
  std::uint64_t batch = 0, first = 0;
  std::uint32_t rows = 0;
  std::uint8_t part = 0; ///< of a training: DataPart
};

struct Died {
  std::string reason;     ///< "killed by signal 11 (Segmentation fault) while preparing item 17"
  std::string last_words; ///< the last lines of its standard error
  FailureCause cause = FailureCause::other;
  DeviceTrouble device = DeviceTrouble::none;
  std::uint8_t certain = 0; ///< 1: a suspect killed it; 0: the cause may be external
  std::uint8_t stalled = 0; ///< 1: late while reading items: the cause is an item, or the file server
  std::uint8_t retired = 0; ///< 1: no other worker is started, the rank is out of the run
  std::vector<Suspect> suspects;
};

struct Configure {
  std::string job;
  std::string config_json; ///< mgpu::Config
  std::string model_path;  ///< path to open (may be in this node's memory)
  std::int32_t rank = 0, world_size = 1, local_rank = 0, local_size = 1;
  std::string host;
  std::int32_t device = -1; ///< CUDA device index; -1: CPU
  std::string dtype = "float32";
  std::int32_t threads = 1, loaders = 1;
  std::vector<std::int32_t> cores; ///< the worker's share of the node's cores; empty: unchanged
  std::int64_t batch_size = 1;
  std::int32_t batches_in_flight = 4; ///< granted batches that it may hold: bounds its memory
  std::uint8_t trace = 0;
};

/// The limits by which an agent supervises its worker.
struct Supervise {
  double item_timeout_s = 0, stall_timeout_s = 0; ///< 0: no limit; item_timeout_s < 0: from measured times
  std::int64_t batch_size = 1;                    ///< a batch may take this many times item_timeout_s
  std::uint8_t restarts = 0;                      ///< 1: a worker that dies is replaced; 0: the rank ends with it
  std::int32_t max_restarts = -1;                 ///< deaths in a row before the rank is given up; -1: any number, rank 0 counts
  std::string gpu_uuid;                           ///< of the worker's GPU, whose health is reported; "": none
  double max_gpu_temperature_c = 0;               ///< the rank is held from this temperature on; 0: no limit
  double health_interval_s = 5;                   ///< between two samples
};

/// What the driver reports of a GPU at one moment. NaN and -1: unknown.
struct GpuSample {
  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  double temperature_c = unknown, slowdown_c = unknown; ///< slowdown_c: from this temperature on it slows itself down
  double utilization_percent = unknown, power_w = unknown, sm_clock_mhz = unknown;
  std::int64_t memory_used_bytes = -1, memory_total_bytes = -1;
  std::int64_t throttle_reasons = -1; ///< bits of nvmlClocksEventReasons
  std::int64_t uncorrected_ecc = -1;  ///< memory errors since the driver was loaded
  std::int32_t remap_pending = -1;    ///< 1: a memory row is replaced at the next reset
  std::int32_t remap_failed = -1;     ///< 1: a memory row could not be replaced
};

/// An agent's judgement of its GPU.
enum class GpuState : std::uint8_t {
  fine = 0,
  held,    ///< too hot: no new work until it has cooled down
  drained, ///< it fails: no more work
};

struct Health {
  GpuSample sample;
  std::vector<std::uint32_t> xids; ///< since the previous message
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
  std::vector<std::int32_t> cores;                 ///< cores that this process may use
  std::uint64_t memory_free_bytes = 0;
  std::string mpi, hdf5;                                        ///< versions
  std::vector<std::pair<std::string, std::string>> bad_devices; ///< UUIDs of excluded GPUs, with the reasons
  std::vector<GpuMemory> gpu_memory; ///< before this run uses any; asked for only if --max-gpu-memory may be set
  std::string gpu_memory_note;       ///< why it is unknown of some
};

struct Heartbeat {
  double timeout_s = 0; ///< time of silence after which rank 0 is lost
  std::int32_t pid = 0; ///< of rank 0's agent
  std::string node;     ///< node of rank 0
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
  std::uint8_t from_launcher = 0; ///< TERM from mpirun, which kills soon after
  std::uint8_t at_once = 0;       ///< second INT
};

/// A file that rank 0 has just written in the output's folder.
struct Survey {
  std::string token_path, token;
};

struct Surveyed {
  double asked_unix_s = 0, answered_unix_s = 0; ///< by the clock of this rank's node
  std::uint64_t shm_free_bytes = 0;             ///< of /dev/shm
  std::uint64_t open_files = 0;                 ///< how many this process may have
  std::int32_t node_cores = 0;                  ///< of the node, whatever this process may use
  std::vector<std::string> interfaces;          ///< of the network, with an address and up; not the loopback
  std::string nccl_interface;                   ///< NCCL_SOCKET_IFNAME
  std::string folder_error;                     ///< why the token is not seen here; "" where it is
};

struct Stage {
  std::string path;
  double stall_s = 0; ///< time limit without progress of the copy; 0: none
};

struct Staged {
  std::string path;       ///< path for the workers of the node
  std::string error;      ///< "" if it worked
  std::uint8_t still = 0; ///< the cause of the error: the file system does not respond
  double seconds = 0;
};

} // namespace mgpu::wire
