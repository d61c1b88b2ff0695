#pragma once
// A training: its data, how its ranks reach each other, what they report, sums over nodes.
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
  std::uint32_t attempt = 1;          ///< 1 + restarts of this run
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

} // namespace mgpu::wire
