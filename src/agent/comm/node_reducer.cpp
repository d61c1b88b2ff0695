#include "agent/comm/node_reducer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include "agent/comm/dropped_sums.hpp"
#include "agent/comm/mpi_call.hpp"
#include "agent/comm/ring_stream.hpp"
#include "common/support/clock.hpp"

namespace mgpu::agent::comm {

namespace {

constexpr std::size_t name_bytes = 256;
/// How long after the last progress to poll without sleeping. After that another node is late: the core is left to the workers.
constexpr double eager_s = 2e-3;

} // namespace

struct NodeReducer::Streams {
  explicit Streams(const Communicator& leaders)
      : gradients(leaders.get()), numbers(leaders.get()), dropped(leaders.get(), gradients, numbers), nodes(leaders.size()) {}
  RingStream gradients, numbers;
  DroppedSums dropped;
  std::deque<std::pair<wire::Reduce, std::byte*>> later; ///< asked for while sums are being dropped
  int nodes = 0;
};

NodeReducer::NodeReducer(const std::string& node) : node_(node) {
  int rank = 0, size = 1;
  MGPU_MPI(MPI_Comm_rank, MPI_COMM_WORLD, &rank);
  MGPU_MPI(MPI_Comm_size, MPI_COMM_WORLD, &size);
  std::vector<char> names(name_bytes * static_cast<std::size_t>(size));
  std::array<char, name_bytes> mine{};
  node.copy(mine.data(), mine.size() - 1);
  MGPU_MPI(MPI_Allgather, mine.data(), name_bytes, MPI_CHAR, names.data(), name_bytes, MPI_CHAR, MPI_COMM_WORLD);
  const auto same = [&](int other) {
    return std::strcmp(&names[name_bytes * static_cast<std::size_t>(other)], mine.data()) == 0;
  };
  bool first = true, alone = true;
  for (int other = 0; other < size; ++other) {
    if (other < rank && same(other)) first = false;
    if (!same(other)) alone = false;
  }
  if (alone) return; // all ranks come to the same result
  if (const auto leaders = Communicator::split(MPI_COMM_WORLD, first ? 0 : MPI_UNDEFINED, rank))
    streams_ = std::make_unique<Streams>(leaders);
}

NodeReducer::~NodeReducer() = default;

void NodeReducer::begin(const wire::Reduce& request, std::byte* memory, std::size_t size_bytes) {
  if (!streams_) throw Error(fmt::format("node {}: asked for a sum over nodes by a rank that does not sum", node_));
  const std::size_t each = request.type == 0 ? sizeof(float) : sizeof(double);
  if (request.offset % each != 0 || request.offset > size_bytes || request.count > (size_bytes - request.offset) / each)
    throw Error(fmt::format("node {}: {} numbers at {} are not in the shared memory of {} bytes", node_, request.count,
                            request.offset, size_bytes));
  if (streams_->dropped.busy())
    streams_->later.emplace_back(request, memory + request.offset);
  else
    begin_now(request, memory + request.offset);
}

void NodeReducer::begin_now(const wire::Reduce& request, std::byte* data) {
  (request.stream == 0 ? streams_->gradients : streams_->numbers).begin(request, data);
}

void NodeReducer::drop() {
  if (!streams_) return;
  streams_->later.clear(); // of workers that are gone, too
  streams_->dropped.begin();
}

bool NodeReducer::poll(double timeout_s, const std::function<void(const wire::Reduce&)>& done) {
  if (!busy()) return false;
  bool moved = false;
  if (streams_->dropped.busy()) {
    moved = streams_->dropped.poll(timeout_s);
    for (; !streams_->dropped.busy() && !streams_->later.empty(); streams_->later.pop_front())
      begin_now(streams_->later.front().first, streams_->later.front().second);
  } else {
    moved = streams_->numbers.poll(done);
    moved |= streams_->gradients.poll(done);
  }
  const double now = now_s();
  if (moved) moved_s_ = now;
  for (const RingStream* stream : {&streams_->numbers, &streams_->gradients})
    if (stream->busy() && now - stream->oldest_begin_s() > timeout_s)
      throw Error(fmt::format("node {}: the sum of {} {} over {} nodes is not complete after {:g} s", node_,
                              stream->oldest_count(), stream == &streams_->numbers ? "numbers" : "gradients", streams_->nodes,
                              timeout_s));
  return now - moved_s_ < eager_s;
}

bool NodeReducer::busy() const {
  return streams_ && (streams_->gradients.busy() || streams_->numbers.busy() || streams_->dropped.busy());
}

} // namespace mgpu::agent::comm
