#pragma once
// Messages of a training: its data, the connection of its ranks, their reports, sums over nodes.
#include <cstdint>
#include <string>
#include <vector>

#include "common/wire/message.hpp"
#include "mgpu/item.hpp"

namespace mgpu::wire {

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
  std::uint64_t total = 0; ///< items of the part in all pieces
  std::vector<Item> items;
  std::vector<SkippedItem> given_up; ///< those of `items` that ended too many workers; not to be prepared
};

struct Connect {
  std::string token;                  ///< name of the shared memory of a node's ranks: /dev/shm/mgpu-TOKEN
  std::string nccl_id;                ///< "" on CPUs
  std::vector<std::int32_t> node_of;  ///< [world size] node of every rank, nodes counted in order of their first rank
  std::vector<std::string> hosts;     ///< [world size], for messages
  std::int64_t batch_size = 1;        ///< first micro-batch
  std::uint64_t first_validation = 0; ///< validations done before the checkpoint
  std::string checkpoint;             ///< folder of the checkpoint to resume from; "": none
  std::uint32_t attempt = 1;          ///< 1 + restarts of this run
  double timeout_s = 300;             ///< limit of every wait for other ranks
};

struct Halt {
  std::uint8_t now = 0; ///< 0: after the current step, with a checkpoint; 1: at once (a rank is lost)
  std::string reason;
};

/// Numbers in the node's shared memory that the agents must sum over the nodes.
struct Reduce {
  std::uint64_t id = 0;
  std::uint8_t stream = 0;  ///< the sums of a stream start in the same order on all nodes; 0 gradients, 1 small numbers
  std::uint64_t offset = 0; ///< bytes from the start of the shared memory
  std::uint64_t count = 0;  ///< elements
  std::uint8_t type = 0;    ///< 0 float32, 1 float64
  std::string memory;       ///< token of the shared memory: Connect's with a suffix of the workers
};

/// One optimizer step over the global batch.
struct Step {
  std::uint64_t step = 0;                 ///< counted from 1 over the whole training
  std::uint32_t epoch = 0;                ///< counted from 1
  std::uint32_t samples = 0, skipped = 0; ///< used; could not be prepared
  std::uint32_t micro_batch = 0, accumulation = 0;
  std::uint8_t updated = 1; ///< 0: not finite, the parameters were not changed
  double loss = 0;          ///< mean over the global batch
  double lr = 0;
  double grad_norm = 0; ///< before clipping; NaN if not computed
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
  std::string meta_json; ///< rank 0 only: the worker's part of checkpoint.json
  std::string error;     ///< "" or why this rank could not write its part
};

} // namespace mgpu::wire
