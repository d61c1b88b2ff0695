#pragma once
// Brings two streams of sums to an end that nobody waits for any more.
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "agent/comm/mpi_handles.hpp"
#include "agent/comm/ring_stream.hpp"

namespace mgpu::agent::comm {

/// The ranks of a stream begin the same sums in the same order, but when their workers end, some have begun more of them than others. The
/// ranks tell each other what they have begun, and those behind take part in the rest with zeros: then MPI holds nothing of them any more.
class DroppedSums {
 public:
  /// Duplicates `communicator`. The streams must outlive this and must not be polled while this is busy.
  DroppedSums(MPI_Comm communicator, RingStream& gradients, RingStream& numbers);
  ~DroppedSums();
  DroppedSums(const DroppedSums&) = delete;
  DroppedSums& operator=(const DroppedSums&) = delete;

  /// Every rank of the communicator calls it equally often; one that is still busy does the next after this one.
  void begin();
  /// Moves on; true if anything happened. Throws Error when the others do not take part within `timeout_s`.
  bool poll(double timeout_s);
  bool busy() const { return wanted_ > 0; }

 private:
  static constexpr std::size_t streams = 2;
  static constexpr std::size_t most_under_way = 1024; ///< of one stream; a training has one sum a bucket under way
  /// What one rank has begun of each stream.
  struct Begun {
    std::array<std::uint64_t, streams> begun{};                             ///< sums since the stream was made
    std::array<std::uint64_t, streams> under_way{};                         ///< the last of them that are not complete
    std::array<std::array<std::uint64_t, most_under_way>, streams> count{}; ///< numbers of each
    std::array<std::array<std::uint8_t, most_under_way>, streams> type{};
  };

  void tell();
  void catch_up();
  RingStream& stream(std::size_t index) { return index == 0 ? gradients_ : numbers_; }

  Communicator communicator_;
  RingStream& gradients_;
  RingStream& numbers_;
  int wanted_ = 0;                           ///< calls of begin() that are not done
  double begin_s_ = 0;                       ///< of the first of these
  std::shared_ptr<std::vector<Begun>> told_; ///< of all ranks, then this one's
  Request telling_;
  bool caught_up_ = false;
  std::deque<std::vector<std::byte>> zeros_; ///< what this rank adds to sums that it had not begun
};

} // namespace mgpu::agent::comm
