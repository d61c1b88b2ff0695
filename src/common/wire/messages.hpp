#pragma once
// What agents, rank 0 and workers say to each other. The same frames travel over the socket (agent ↔ worker) and over MPI
// (agent ↔ rank 0), so an agent passes most of them on without looking inside.
#include <cstdint>
#include <string>
#include <vector>

#include "common/wire/bytes.hpp"
#include "mgpu/columns.hpp"
#include "mgpu/item.hpp"

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
  died,      ///< Died: the worker is dead; from its agent, which starts another
  steps,     ///< Steps: optimizer steps done; from rank 0's worker
  metrics,   ///< Metrics: one validation; from rank 0's worker
  skipped,   ///< Skipped: samples that could not be prepared
  saved,     ///< Saved: the rank's part of a checkpoint is on its disk
  // rank 0 → agent → worker
  configure, ///< Configure
  grant,     ///< Grant: batches to do
  finish,    ///< no more work: drain, send stats, exit
  items,     ///< Items: a piece of a training run's data sets
  connect,   ///< Connect: how the ranks of a training run reach each other, and where it begins
  halt,      ///< Halt: end a training run early
  // agent ↔ worker only
  shared_results, ///< SharedRange: a BatchResult lies in the ring
  release,        ///< SharedRange: the agent has done with it
  reduce,         ///< Reduce: sum this range over the nodes, in place
  reduced,        ///< Reduce: it is summed
  // agent ↔ rank 0 only
  join,      ///< Join: a rank's node and launcher facts
  heartbeat, ///< the loop is alive; rank 0 adds a Heartbeat once it knows its options
  staged,    ///< Staged: the model lies in this node's memory
  stage,     ///< Stage: put the model into this node's memory
  supervise, ///< Supervise: how the agent watches its worker; before Configure
  bye,       ///< rank 0: end now (Bye); answered by bye. After a lost rank once more when all have answered: leave together
  signal,    ///< Signal: this rank was told to stop
  end_agent, ///< EndAgent: the agent of another rank on this node is stuck
};

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
  std::uint8_t restarts = 0;      ///< 1: another worker takes the place of one that dies; 0: the rank ends with it
  std::int32_t max_restarts = -1; ///< deaths one after another before the rank is given up; -1: any number, as rank 0 counts
};

struct BatchRange {
  std::uint64_t batch = 0;
  std::uint64_t first = 0; ///< first item
  std::uint32_t attempt = 1;
  std::uint32_t epoch = 0; ///< training: which pass over the data, from 0
  /// Rows to do; the others keep the batch its shape, as zeros, so that results do not depend on how a batch was cut. 0 rows: all.
  std::uint32_t wanted_begin = 0, wanted_rows = 0;
  std::vector<Item> items; ///< consecutive rows of the manifest, from `first`

  bool wanted(std::size_t row) const { return wanted_rows == 0 || row - wanted_begin < wanted_rows; }
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
  std::string mpi, hdf5;                                        ///< versions
  std::vector<std::pair<std::string, std::string>> bad_devices; ///< UUIDs of GPUs to be left out, and why
};

enum class DataPart : std::uint8_t { train = 0, validation = 1 };

/// An item of a training that cannot be used.
struct SkippedItem {
  std::uint64_t index = 0; ///< row of its part
  std::uint8_t part = 0;   ///< DataPart
  std::string reason;
};

/// Rows of a training run's data, sent to every worker once, in order.
struct Items {
  std::uint8_t part = 0;   ///< DataPart
  std::uint64_t total = 0; ///< items of the part, all pieces together
  std::vector<Item> items;
  std::vector<SkippedItem> given_up; ///< of these items: those that have ended too many workers; not to be prepared
};

struct Connect {
  std::string token;                  ///< names what the ranks of a node share: /dev/shm/mgpu-TOKEN
  std::string nccl_id;                ///< "" on CPUs
  std::vector<std::int32_t> node_of;  ///< [world size] node of every rank, nodes counted in order of their first rank
  std::vector<std::string> hosts;     ///< [world size], for messages
  std::int64_t batch_size = 1;        ///< micro-batch to begin with
  std::uint64_t first_validation = 0; ///< validations done before the checkpoint
  std::string checkpoint;             ///< folder of the checkpoint to begin from; "" at the beginning
  std::uint32_t attempt = 1;          ///< 1 + times this run has begun again
  double timeout_s = 300;             ///< of every wait of ranks for each other
};

struct Halt {
  std::uint8_t now = 0; ///< 0: after the step under way, with a checkpoint; 1: at once (a rank is lost)
  std::string reason;
};

/// Floats in the node's shared memory, to be summed over the nodes' leaders by the agents.
struct Reduce {
  std::uint64_t id = 0;
  std::uint8_t stream = 0;  ///< sums of a stream begin in the same order on all nodes; 0 gradients, 1 small numbers
  std::uint64_t offset = 0; ///< bytes from the start of the shared memory
  std::uint64_t count = 0;  ///< elements
  std::uint8_t type = 0;    ///< 0 float32, 1 float64
  std::string memory;       ///< token of the shared memory: Connect's, and what the workers added to it
};

/// One optimizer step over the global batch.
struct Step {
  std::uint64_t step = 0;                 ///< counted from 1 over the whole training
  std::uint32_t epoch = 0;                ///< counted from 1
  std::uint32_t samples = 0, skipped = 0; ///< that took part; that could not be prepared
  std::uint32_t micro_batch = 0, accumulation = 0;
  std::uint8_t updated = 1; ///< 0: not finite, the parameters were left as they were
  double loss = 0;          ///< mean over the global batch
  double lr = 0;
  double grad_norm = 0; ///< before clipping; NaN where it was not needed
  double loss_scale = 1;
  double seconds = 0;
};

struct Steps {
  std::uint64_t total = 0; ///< steps of the whole training
  std::vector<Step> steps;
};

struct Metric {
  std::string name; ///< "loss", "accuracy", "top5", "cer", "wer"
  double value = 0;
};

struct Metrics {
  std::uint64_t step = 0;
  std::uint32_t epoch = 0;
  double seconds = 0;
  std::uint8_t best = 0; ///< the best so far: the model was saved
  std::vector<Metric> values;
  std::vector<Metric> classes;            ///< accuracy by class name; may be empty
  std::vector<std::uint64_t> class_items; ///< [classes]
};

struct Skipped {
  std::vector<SkippedItem> items;
};

struct Saved {
  std::uint64_t step = 0;
  std::uint32_t epoch = 0;
  std::string folder; ///< of the checkpoint
  std::uint64_t bytes = 0;
  std::string meta_json; ///< rank 0 only: what checkpoint.json shall say
  std::string error;     ///< "" or why this rank could not write its part
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

void encode(const Hello&, Buffer&);
void encode(const Progress&, Buffer&);
void encode(const Opened&, Buffer&);
void encode(const Log&, Buffer&);
void encode(const Stats&, Buffer&);
void encode(const Failure&, Buffer&);
void encode(const Died&, Buffer&);
void encode(const Configure&, Buffer&);
void encode(const Supervise&, Buffer&);
void encode(const Grant&, Buffer&);
void encode(const SharedRange&, Buffer&);
void encode(const Join&, Buffer&);
void encode(const Heartbeat&, Buffer&);
void encode(const EndAgent&, Buffer&);
void encode(const Bye&, Buffer&);
void encode(const Signal&, Buffer&);
void encode(const Stage&, Buffer&);
void encode(const Staged&, Buffer&);
void encode(const Items&, Buffer&);
void encode(const Connect&, Buffer&);
void encode(const Halt&, Buffer&);
void encode(const Reduce&, Buffer&);
void encode(const Steps&, Buffer&);
void encode(const Metrics&, Buffer&);
void encode(const Skipped&, Buffer&);
void encode(const Saved&, Buffer&);

/// Decodes a whole message; throws Error when it is torn or has bytes left over.
template <typename Message>
Message decode(View bytes);

} // namespace mgpu::wire
