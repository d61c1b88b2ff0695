#pragma once
#include <mpi.h>

#include <deque>
#include <vector>

#include "agent/comm/messenger.hpp"
#include "agent/comm/mpi_handles.hpp"

namespace mgpu::agent::comm {

/// Messenger over MPI. One thread.
///
/// Small frames to one rank are collected in a packet; a large frame is sent alone, without a copy. Sizes are counted in units of
/// 64 bytes, so that MPI's int counts reach 128 GiB.
class MpiMessenger final : public Messenger {
 public:
  explicit MpiMessenger(MPI_Comm communicator);
  ~MpiMessenger() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void post(int rank, wire::Type type, wire::View payload) override;
  void post(int rank, wire::Type type, wire::View payload, std::shared_ptr<void> owner) override;
  void flush() override;
  bool poll(const OnFrame& handle) override;
  bool idle(int rank) const override;
  bool idle() const override;
  std::vector<int> take_dead() override;

 private:
  struct Sending {
    Request request;
    int rank;
  };
  struct Receiving {
    Request request;
    int source;
    int tag;
    std::shared_ptr<std::byte> bytes;
    std::size_t size;
  };

  void send(int rank, int tag, const std::byte* data, std::size_t size, std::shared_ptr<void> owner);
  void flush(int rank);
  bool complete_sends();
  bool start_receives();
  bool complete_receives(const OnFrame& handle);
  bool died(int code, const char* call);
  void look_for_dead();
  bool dead(int rank) const { return dead_[static_cast<std::size_t>(rank)]; }
  void bury(int rank);

  Communicator communicator_;
  Datatype block_;
  int rank_ = 0, size_ = 1;
  std::vector<wire::Buffer> packets_; ///< by rank: frames not yet sent
  std::deque<Sending> sending_;
  std::deque<Receiving> receiving_;
  std::vector<bool> dead_;      ///< by rank
  std::vector<int> newly_dead_; ///< not yet taken
  double looked_s_ = 0;
  bool any_dead_ = false;
};

} // namespace mgpu::agent::comm
