#pragma once
// Non-blocking, in-place sums (all-reduce) of arrays over the ranks of a communicator.
#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "agent/comm/mpi_handles.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent::comm {

/// Every rank begins the same sums in the same order; all ranks get the same bits. One thread.
///
/// Small sums use MPI_Iallreduce. Large ones use a ring: each rank owns a part of the array. The partial sum of a part passes
/// through all ranks to its owner (reduce-scatter), then the total passes through all ranks (all-gather). Parts are cut into
/// segments; several are active at once, so that additions overlap with the network. (Open MPI's MPI_Iallreduce was slower than
/// its blocking call in trials; this is not.)
class RingStream {
 public:
  /// Duplicates `communicator`.
  explicit RingStream(MPI_Comm communicator);
  ~RingStream();
  RingStream(const RingStream&) = delete;
  RingStream& operator=(const RingStream&) = delete;

  /// Starts the sum of request.count numbers of request.type at `data`, which must stay valid until the sum is done.
  void begin(const wire::Reduce& request, std::byte* data);
  /// Makes progress; calls `done` with the request of each complete sum. Returns true if anything happened.
  bool poll(const std::function<void(const wire::Reduce&)>& done);
  bool busy() const { return !sums_.empty(); }
  std::uint64_t begun() const { return begun_; } ///< sums, since the stream was made
  /// Those of them that are not complete, in order.
  std::vector<wire::Reduce> under_way() const;
  /// From now on the sums under way count as begun now.
  void restart_clock();
  /// Of the oldest pending sum; requires busy().
  std::uint64_t oldest_count() const { return sums_.front()->request.count; }
  double oldest_begin_s() const { return sums_.front()->begin_s; }

 private:
  enum class Act { send_own, receive_partial, send_partial, receive_total, send_total, whole, done };
  struct Sum {
    wire::Reduce request;
    double begin_s;
    std::size_t segments = 0; ///< not yet done
  };
  struct Segment {
    Sum* sum;
    std::byte* data;
    std::size_t count;
    int owner; ///< the rank that completes the sum; -1: MPI_Iallreduce
    int tag;
    Act act = Act::done;
    Request request;
    std::shared_ptr<std::vector<std::byte>> partial;
  };

  void add(Sum& sum, std::byte* data, std::size_t count, int owner);
  Act first_act(const Segment& segment) const;
  Act next_act(Segment& segment) const;
  void start(Segment& segment);
  bool advance(Segment& segment);
  int after(int rank) const { return (rank + 1) % size_; }
  int before(int rank) const { return (rank + size_ - 1) % size_; }

  Communicator communicator_;
  int rank_ = 0, size_ = 1;
  int next_tag_ = 0;
  std::uint64_t begun_ = 0;
  std::deque<std::unique_ptr<Sum>> sums_;
  std::deque<Segment> waiting_;
  std::deque<Segment> active_;
};

} // namespace mgpu::agent::comm
