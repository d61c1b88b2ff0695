#include "agent/comm/mpi_messenger.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "agent/comm/mpi_call.hpp"
#include "agent/comm/process_failure.hpp"
#include "common/support/clock.hpp"

namespace mgpu::agent::comm {

namespace {

constexpr std::size_t unit = 64;
/// A frame at least this long is sent alone, without a copy.
constexpr std::size_t alone_size = 32u << 10;
/// A packet is sent when it has grown to this, without waiting for flush().
constexpr std::size_t packet_size = 128u << 10;
constexpr int packet_tag = 1;
constexpr int alone_tag = 100; ///< + wire::Type
/// Receives started in one poll; without a limit one rank's messages could starve the worker's socket.
constexpr int receives_a_poll = 64;

static_assert(sizeof(wire::FrameHeader) <= unit); // a header takes a whole unit, so that payloads stay aligned

std::size_t round_up(std::size_t size) {
  return (size + unit - 1) / unit * unit;
}

std::shared_ptr<std::byte> allocate(std::size_t size) {
  auto* bytes = static_cast<std::byte*>(std::aligned_alloc(unit, std::max(size, unit)));
  if (bytes == nullptr) throw std::bad_alloc();
  return {bytes, [](std::byte* pointer) { std::free(pointer); }};
}

} // namespace

MpiMessenger::MpiMessenger(MPI_Comm communicator)
    : communicator_(Communicator::duplicate_of(communicator)),
      block_(Datatype::block_of(static_cast<int>(unit))),
      rank_(communicator_.rank()),
      size_(communicator_.size()) {
  packets_.resize(static_cast<std::size_t>(size_));
  dead_.resize(static_cast<std::size_t>(size_));
}

MpiMessenger::~MpiMessenger() {
  // Freeing is collective: it would wait for a lost rank, or for a message that was never received.
  if (any_dead_ || !sending_.empty() || !receiving_.empty()) communicator_.release();
}

/// False on success. True for a process failure, whose dead ranks are then recorded. Throws Error for any other code.
bool MpiMessenger::died(int code, const char* call) {
  if (code == MPI_SUCCESS) return false;
  if (!is_process_failure(code)) check_mpi(code, call);
  look_for_dead();
  return true;
}

void MpiMessenger::look_for_dead() {
  for (const int rank : acknowledge_failures(communicator_.get()))
    if (!dead(rank)) bury(rank);
}

void MpiMessenger::bury(int rank) {
  dead_[static_cast<std::size_t>(rank)] = true;
  any_dead_ = true;
  newly_dead_.push_back(rank);
  packets_[static_cast<std::size_t>(rank)] = {};
}

std::vector<int> MpiMessenger::take_dead() {
  return std::exchange(newly_dead_, {});
}

void MpiMessenger::post(int rank, wire::Type type, wire::View payload) {
  if (dead(rank)) return;
  wire::Buffer& packet = packets_[static_cast<std::size_t>(rank)];
  const wire::FrameHeader header{.type = type, .size = payload.size()};
  const std::size_t at = packet.size();
  packet.resize(at + unit + round_up(payload.size()));
  std::memcpy(packet.data() + at, &header, sizeof header);
  if (!payload.empty()) std::memcpy(packet.data() + at + unit, payload.data(), payload.size());
  if (packet.size() >= packet_size) flush(rank);
}

void MpiMessenger::post(int rank, wire::Type type, wire::View payload, std::shared_ptr<void> owner) {
  if (payload.size() < alone_size || payload.size() % unit != 0) return post(rank, type, payload);
  flush(rank); // keeps the order of frames to this rank
  send(rank, alone_tag + static_cast<int>(type), payload.data(), payload.size(), std::move(owner));
}

void MpiMessenger::flush() {
  for (int rank = 0; rank < size_; ++rank) flush(rank);
}

void MpiMessenger::flush(int rank) {
  wire::Buffer& packet = packets_[static_cast<std::size_t>(rank)];
  if (packet.empty()) return;
  auto bytes = std::make_shared<wire::Buffer>(std::move(packet));
  packet = {};
  send(rank, packet_tag, bytes->data(), bytes->size(), bytes);
}

void MpiMessenger::send(int rank, int tag, const std::byte* data, std::size_t size, std::shared_ptr<void> owner) {
  if (dead(rank)) return;
  Sending sending{Request(std::move(owner)), rank};
  const int count = static_cast<int>(size / unit);
  if (!died(MPI_Isend(data, count, block_.get(), rank, tag, communicator_.get(), sending.request.start()), "MPI_Isend"))
    sending_.push_back(std::move(sending));
}

bool MpiMessenger::idle(int rank) const {
  return packets_[static_cast<std::size_t>(rank)].empty() &&
         std::none_of(sending_.begin(), sending_.end(), [rank](const Sending& sending) { return sending.rank == rank; });
}

bool MpiMessenger::idle() const {
  return sending_.empty() && std::all_of(packets_.begin(), packets_.end(), [](const auto& packet) { return packet.empty(); });
}

bool MpiMessenger::poll(const OnFrame& handle) {
  // When a rank dies from which this one only receives, no MPI call need fail (seen: MPI_Improbe finds nothing, forever).
  constexpr double interval_s = 0.02;
  if (const double now = now_s(); now - looked_s_ > interval_s) {
    looked_s_ = now;
    look_for_dead();
  }
  const bool sent = complete_sends();
  const bool started = start_receives();
  return complete_receives(handle) || sent || started;
}

bool MpiMessenger::complete_sends() {
  const std::size_t before = sending_.size();
  std::erase_if(sending_, [this](Sending& sending) {
    const bool failed = died(sending.request.test(), "MPI_Test");
    return sending.request.complete() || failed || dead(sending.rank);
  });
  return sending_.size() != before;
}

bool MpiMessenger::start_receives() {
  bool any = false;
  for (int count = 0; count < receives_a_poll; ++count) {
    int found = 0;
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    if (died(MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, communicator_.get(), &found, &message, &status), "MPI_Improbe")) continue;
    if (found == 0) break;
    int units = 0;
    MGPU_MPI(MPI_Get_count, &status, block_.get(), &units);
    const std::size_t size = static_cast<std::size_t>(units) * unit;
    std::shared_ptr<std::byte> bytes = allocate(size);
    Receiving receiving{Request(bytes), status.MPI_SOURCE, status.MPI_TAG, std::move(bytes), size};
    if (died(MPI_Imrecv(receiving.bytes.get(), units, block_.get(), &message, receiving.request.start()), "MPI_Imrecv")) continue;
    receiving_.push_back(std::move(receiving));
    any = true;
  }
  return any;
}

bool MpiMessenger::complete_receives(const OnFrame& handle) {
  bool any = false;
  std::vector<bool> waiting(static_cast<std::size_t>(size_), false); // by source: an earlier message is not complete
  for (auto at = receiving_.begin(); at != receiving_.end();) {
    const auto source = static_cast<std::size_t>(at->source);
    if (!waiting[source] && died(at->request.test(), "MPI_Test")) {
      at = receiving_.erase(at); // incomplete: its sender died
      continue;
    }
    if (waiting[source] || !at->request.complete()) {
      waiting[source] = true;
      ++at;
      continue;
    }
    Receiving received = std::move(*at);
    at = receiving_.erase(at);
    any = true;
    const wire::View bytes{received.bytes.get(), received.size};
    if (received.tag >= alone_tag) {
      handle(received.source, static_cast<wire::Type>(received.tag - alone_tag), bytes, received.bytes);
      continue;
    }
    for (std::size_t offset = 0; offset + unit <= bytes.size();) {
      wire::FrameHeader header;
      std::memcpy(&header, bytes.data() + offset, sizeof header);
      if (!header.valid() || header.size > bytes.size() - offset - unit) throw Error("a packet from another rank is torn");
      handle(received.source, header.type, bytes.subspan(offset + unit, header.size), received.bytes);
      offset += unit + round_up(header.size);
    }
  }
  return any;
}

} // namespace mgpu::agent::comm
