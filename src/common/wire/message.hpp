#pragma once
// Messages between agents, rank 0 and workers. The socket (agent ↔ worker) and MPI (agent ↔ rank 0) use the same frames, so an
// agent forwards most of them without decoding. Contents: control_messages.hpp, items_messages.hpp, training_messages.hpp.
#include <cstdint>

#include "common/wire/bytes.hpp"

namespace mgpu::wire {

enum class Type : std::uint32_t {
  // worker → agent → rank 0
  hello = 1, ///< Hello: the worker has started; its devices
  progress,  ///< Progress: progress of opening
  opened,    ///< Opened: the model is open; the output columns
  results,   ///< BatchResult, encoded by its writer
  log,       ///< Log
  stats,     ///< Stats: once, when the worker has finished
  trace,     ///< Chrome trace events, JSON text without the enclosing brackets
  failure,   ///< Failure: the rank cannot continue
  died,      ///< Died: the worker died; from its agent, which usually starts another
  steps,     ///< Steps: completed optimizer steps; from rank 0's worker
  metrics,   ///< Metrics: one validation; from rank 0's worker
  skipped,   ///< Skipped: samples that could not be prepared
  saved,     ///< Saved: the rank's part of a checkpoint is on the disk
  // rank 0 → agent → worker
  configure, ///< Configure
  grant,     ///< Grant: batches to process
  finish,    ///< no more work: finish batches, send stats, exit
  items,     ///< Items: a piece of a training run's data sets
  connect,   ///< Connect: how the ranks of a training connect, and where it starts
  halt,      ///< Halt: end a training run early
  // agent ↔ worker only
  shared_results, ///< SharedRange: a BatchResult is in the ring
  release,        ///< SharedRange: the agent no longer needs the range
  reduce,         ///< Reduce: sum this range over the nodes, in place
  reduced,        ///< Reduce: the sum is complete
  // agent ↔ rank 0 only
  join,      ///< Join: a rank's node and launcher facts
  heartbeat, ///< sign of life; rank 0 adds a Heartbeat once it has its options
  staged,    ///< Staged: the model is in this node's memory
  stage,     ///< Stage: copy the model to this node's memory
  supervise, ///< Supervise: limits for the worker; before Configure
  bye,       ///< rank 0: end now (Bye); answered by bye. After a lost rank sent again when all have answered: exit together
  signal,    ///< Signal: this rank received a signal to stop
  end_agent, ///< EndAgent: end the stuck agent of another rank on this node
  survey,    ///< Survey: `doctor` asks for facts about this rank's node
  surveyed,  ///< Surveyed: the answer
  health,    ///< Health: what a rank's GPU shows; from its agent
};

/// Precedes every frame, on a socket and in a packet of frames.
struct FrameHeader {
  static constexpr std::uint32_t magic_value = 0x6d677031; // "mgp1"
  static constexpr std::uint64_t largest_payload = 8ull << 30;
  std::uint32_t magic = magic_value;
  Type type = Type::hello;
  std::uint64_t size = 0; ///< of the payload, bytes
  bool valid() const { return magic == magic_value && size <= largest_payload; }
};

/// Appends a message of one of the *_messages.hpp files to `out`.
template <typename Message>
void encode(const Message& message, Buffer& out);

/// Decodes a complete message; throws Malformed when it is torn or has bytes left over.
template <typename Message>
Message decode(View bytes);

} // namespace mgpu::wire
