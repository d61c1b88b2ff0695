#pragma once
// Messages between agents, rank 0 and workers. The same frames travel over the socket (agent ↔ worker) and over MPI (agent ↔ rank 0), so an
// agent passes most of them on without looking inside. control_messages.hpp, items_messages.hpp, training_messages.hpp: what they say.
#include <cstdint>

#include "common/wire/bytes.hpp"

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
  health,    ///< Health: what a rank's GPU shows; from its agent
};

/// Precedes every frame, on a socket as in a packet of frames.
struct FrameHeader {
  static constexpr std::uint32_t magic_value = 0x6d677031; // "mgp1"
  static constexpr std::uint64_t largest_payload = 8ull << 30;
  std::uint32_t magic = magic_value;
  Type type = Type::hello;
  std::uint64_t size = 0; ///< of the payload, bytes
  bool valid() const { return magic == magic_value && size <= largest_payload; }
};

/// Appends a message of one of the *_messages.hpp to `out`.
template <typename Message>
void encode(const Message& message, Buffer& out);

/// Decodes a whole message; throws Malformed when it is torn or has bytes left over.
template <typename Message>
Message decode(View bytes);

} // namespace mgpu::wire
