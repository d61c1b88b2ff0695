#include "agent/comm/ring_stream.hpp"

#include <algorithm>

#include "agent/comm/mpi_call.hpp"
#include "common/support/clock.hpp"

namespace mgpu::agent::comm {

namespace {

constexpr std::size_t small_bytes = 64u << 10; ///< up to this size the number of messages matters more than the bytes
constexpr std::size_t segment_bytes = 1u << 20;
constexpr std::size_t active_segments = 8;
constexpr std::size_t line_bytes = 64;
constexpr int tags = 16384; ///< MPI guarantees 32767; far more than active segments

bool is_float(const wire::Reduce& request) {
  return request.type == 0;
}

std::size_t number_bytes(const wire::Reduce& request) {
  return is_float(request) ? sizeof(float) : sizeof(double);
}

template <typename T>
void add_to(std::byte* to, const std::byte* from, std::size_t count) {
  auto* sums = reinterpret_cast<T*>(to);
  const auto* values = reinterpret_cast<const T*>(from);
  for (std::size_t i = 0; i < count; ++i) sums[i] += values[i];
}

} // namespace

RingStream::RingStream(MPI_Comm communicator)
    : communicator_(Communicator::duplicate_of(communicator)), rank_(communicator_.rank()), size_(communicator_.size()) {}

RingStream::~RingStream() {
  if (busy()) communicator_.release(); // a node does not answer
}

void RingStream::begin(const wire::Reduce& request, std::byte* data) {
  sums_.push_back(std::make_unique<Sum>(Sum{request, now_s()}));
  ++begun_;
  Sum& sum = *sums_.back();
  const std::size_t count = request.count;
  const std::size_t each = number_bytes(request);
  if (count * each <= small_bytes) return add(sum, data, count, -1);
  // The segments of all owners alternate, so that every rank has something to send at any time.
  const std::size_t parts = static_cast<std::size_t>(size_);
  const std::size_t unit = line_bytes / each;
  const std::size_t per_part = (count + parts * unit - 1) / (parts * unit) * unit;
  const std::size_t per_segment = std::min(per_part, segment_bytes / each);
  for (std::size_t at = 0; at < per_part; at += per_segment)
    for (std::size_t part = 0; part < parts; ++part) {
      const std::size_t first = part * per_part + at;
      const std::size_t last = std::min({first + per_segment, (part + 1) * per_part, count});
      if (first < last) add(sum, data + first * each, last - first, static_cast<int>(part));
    }
}

std::vector<wire::Reduce> RingStream::under_way() const {
  std::vector<wire::Reduce> requests;
  for (const auto& sum : sums_) requests.push_back(sum->request);
  return requests;
}

void RingStream::restart_clock() {
  for (const auto& sum : sums_) sum->begin_s = now_s();
}

void RingStream::add(Sum& sum, std::byte* data, std::size_t count, int owner) {
  ++sum.segments;
  waiting_.push_back({&sum, data, count, owner, next_tag_});
  next_tag_ = (next_tag_ + 2) % tags; // one for the partial sums, one for the total
}

bool RingStream::poll(const std::function<void(const wire::Reduce&)>& done) {
  bool any = false;
  while (active_.size() < active_segments && !waiting_.empty()) {
    active_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    active_.back().act = first_act(active_.back());
    start(active_.back());
    any = true;
  }
  for (Segment& segment : active_) any |= advance(segment);
  std::erase_if(active_, [](const Segment& segment) { return segment.act == Act::done; });
  while (!sums_.empty() && sums_.front()->segments == 0) {
    done(sums_.front()->request);
    sums_.pop_front();
  }
  return any;
}

RingStream::Act RingStream::first_act(const Segment& segment) const {
  if (segment.owner < 0) return Act::whole;
  return rank_ == after(segment.owner) ? Act::send_own : Act::receive_partial;
}

/// The act after the completed one. Adds a received partial sum.
RingStream::Act RingStream::next_act(Segment& segment) const {
  switch (segment.act) {
    case Act::send_own:
    case Act::send_partial:
      return Act::receive_total;
    case Act::receive_partial: {
      const bool mine = segment.owner == rank_;
      std::byte* to = mine ? segment.data : segment.partial->data();
      const std::byte* from = mine ? segment.partial->data() : segment.data;
      is_float(segment.sum->request) ? add_to<float>(to, from, segment.count) : add_to<double>(to, from, segment.count);
      return mine ? Act::send_total : Act::send_partial;
    }
    case Act::receive_total:
      return after(rank_) == segment.owner ? Act::done : Act::send_total;
    default:
      return Act::done;
  }
}

void RingStream::start(Segment& segment) {
  const MPI_Datatype type = is_float(segment.sum->request) ? MPI_FLOAT : MPI_DOUBLE;
  const int count = static_cast<int>(segment.count); // a segment has at most 1 MiB
  switch (segment.act) {
    case Act::whole:
      MGPU_MPI(MPI_Iallreduce, MPI_IN_PLACE, segment.data, count, type, MPI_SUM, communicator_.get(), segment.request.start());
      break;
    case Act::send_own:
      MGPU_MPI(MPI_Isend, segment.data, count, type, after(rank_), segment.tag, communicator_.get(), segment.request.start());
      break;
    case Act::receive_partial:
      segment.partial = std::make_shared<std::vector<std::byte>>(segment.count * number_bytes(segment.sum->request));
      segment.request.hold(segment.partial);
      MGPU_MPI(MPI_Irecv, segment.partial->data(), count, type, before(rank_), segment.tag, communicator_.get(),
               segment.request.start());
      break;
    case Act::send_partial:
      MGPU_MPI(MPI_Isend, segment.partial->data(), count, type, after(rank_), segment.tag, communicator_.get(),
               segment.request.start());
      break;
    case Act::receive_total:
      MGPU_MPI(MPI_Irecv, segment.data, count, type, before(rank_), segment.tag + 1, communicator_.get(),
               segment.request.start());
      break;
    case Act::send_total:
      MGPU_MPI(MPI_Isend, segment.data, count, type, after(rank_), segment.tag + 1, communicator_.get(), segment.request.start());
      break;
    case Act::done:
      --segment.sum->segments;
      break;
  }
}

bool RingStream::advance(Segment& segment) {
  bool any = false;
  while (segment.act != Act::done) {
    check_mpi(segment.request.test(), "MPI_Test");
    if (!segment.request.complete()) break;
    segment.act = next_act(segment);
    start(segment);
    any = true;
  }
  return any;
}

} // namespace mgpu::agent::comm
