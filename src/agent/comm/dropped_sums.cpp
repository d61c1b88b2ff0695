#include "agent/comm/dropped_sums.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "agent/comm/mpi_call.hpp"
#include "common/support/clock.hpp"

namespace mgpu::agent::comm {

DroppedSums::DroppedSums(MPI_Comm communicator, RingStream& gradients, RingStream& numbers)
    : communicator_(Communicator::duplicate_of(communicator)), gradients_(gradients), numbers_(numbers) {}

DroppedSums::~DroppedSums() {
  if (busy()) communicator_.release(); // a node does not answer
}

void DroppedSums::begin() {
  if (wanted_++ == 0) tell();
}

void DroppedSums::tell() {
  begin_s_ = now_s();
  caught_up_ = false;
  Begun mine;
  for (std::size_t index = 0; index < streams; ++index) {
    stream(index).restart_clock();
    const std::vector<wire::Reduce> requests = stream(index).under_way();
    if (requests.size() > most_under_way)
      throw Error(
          fmt::format("{} sums over nodes are under way, the restart of a training allows {}", requests.size(), most_under_way));
    mine.begun[index] = stream(index).begun();
    mine.under_way[index] = requests.size();
    for (std::size_t at = 0; at < requests.size(); ++at) {
      mine.count[index][at] = requests[at].count;
      mine.type[index][at] = requests[at].type;
    }
  }
  const auto ranks = static_cast<std::size_t>(communicator_.size());
  told_ = std::make_shared<std::vector<Begun>>(ranks + 1);
  told_->back() = mine;
  telling_ = Request(told_);
  MGPU_MPI(MPI_Iallgather, &told_->back(), static_cast<int>(sizeof(Begun)), MPI_BYTE, told_->data(),
           static_cast<int>(sizeof(Begun)), MPI_BYTE, communicator_.get(), telling_.start());
}

/// Begins what others have begun and this rank has not. None of it is complete anywhere: a sum needs every rank.
void DroppedSums::catch_up() {
  const auto ranks = told_->begin() + communicator_.size();
  for (std::size_t index = 0; index < streams; ++index) {
    const auto most =
        std::max_element(told_->begin(), ranks, [&](const Begun& a, const Begun& b) { return a.begun[index] < b.begun[index]; });
    while (stream(index).begun() < most->begun[index]) {
      const std::uint64_t behind = most->begun[index] - stream(index).begun();
      if (behind > most->under_way[index]) throw Error("a sum over nodes is complete on one node and not begun on another");
      const std::uint64_t at = most->under_way[index] - behind;
      wire::Reduce request;
      request.stream = static_cast<std::uint8_t>(index);
      request.count = most->count[index][at];
      request.type = most->type[index][at];
      zeros_.emplace_back(request.count * (request.type == 0 ? sizeof(float) : sizeof(double)));
      stream(index).begin(request, zeros_.back().data());
    }
  }
}

bool DroppedSums::poll(double timeout_s) {
  if (!busy()) return false;
  bool any = false;
  if (!caught_up_) {
    // What is under way must go on: another node may have to complete a sum before it hears of the end.
    check_mpi(telling_.test(), "MPI_Test");
    if (telling_.complete()) {
      catch_up();
      any = caught_up_ = true;
    }
  }
  const auto nobody = [](const wire::Reduce&) {};
  any |= gradients_.poll(nobody);
  any |= numbers_.poll(nobody);
  if (caught_up_ && !gradients_.busy() && !numbers_.busy()) {
    zeros_.clear();
    if (--wanted_ > 0) tell();
    return true;
  }
  if (now_s() - begin_s_ > timeout_s)
    throw Error(fmt::format("the sums over nodes of the workers that ended are not complete after {:g} s", timeout_s));
  return any;
}

} // namespace mgpu::agent::comm
