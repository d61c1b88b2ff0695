// Under mpirun: every rank exchanges frames of many sizes with rank 0; each side computes itself what must arrive.
// Exits non-zero, with a line, on the first difference; a watchdog ends a hang.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "agent/comm/environment.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::agent;

constexpr unsigned watchdog_s = 60;
const std::vector<std::size_t> sizes{0, 1, 63, 64, 65, 4096, 32u << 10, (32u << 10) + 64, 3'000'064, 100};

std::byte pattern(int from, std::size_t frame, std::size_t at) {
  return static_cast<std::byte>(from * 31 + static_cast<int>(frame * 7 + at % 251));
}

wire::Buffer make(int from, std::size_t frame) {
  wire::Buffer bytes(sizes[frame]);
  for (std::size_t at = 0; at < bytes.size(); ++at) bytes[at] = pattern(from, frame, at);
  return bytes;
}

void post_all(comm::Messenger& messenger, int to) {
  for (std::size_t frame = 0; frame < sizes.size(); ++frame) {
    const auto bytes = std::make_shared<wire::Buffer>(make(messenger.rank(), frame));
    if (frame % 2 == 0)
      messenger.post(to, wire::Type::log, wire::View(*bytes));
    else
      messenger.post(to, wire::Type::log, wire::View(*bytes), bytes);
  }
  messenger.flush();
}

void fail(const std::string& reason) {
  fmt::print(stderr, "{}\n", reason);
  std::fflush(nullptr);
  _exit(1);
}

} // namespace

int main() {
  alarm(watchdog_s);
  comm::Environment environment(comm::LauncherFacts::read());
  comm::Messenger& messenger = environment.messenger();
  const int rank = messenger.rank();
  const int size = messenger.size();
  std::vector<std::size_t> next(static_cast<std::size_t>(size), 0); // by source: the frame that must come next
  const auto handle = [&](int from, wire::Type type, wire::View payload, const std::shared_ptr<void>&) {
    std::size_t& frame = next[static_cast<std::size_t>(from)];
    if (type != wire::Type::log || frame >= sizes.size()) fail(fmt::format("rank {}: an unexpected frame from {}", rank, from));
    if (payload.size() != sizes[frame])
      fail(fmt::format("rank {}: frame {} from {} has {} bytes", rank, frame, from, payload.size()));
    for (std::size_t at = 0; at < payload.size(); ++at)
      if (payload[at] != pattern(from, frame, at))
        fail(fmt::format("rank {}: frame {} from {} differs at byte {}", rank, frame, from, at));
    ++frame;
  };
  if (rank == 0)
    for (int other = 1; other < size; ++other) post_all(messenger, other);
  else
    post_all(messenger, 0);
  const auto complete = [&] {
    for (int other = 0; other < size; ++other)
      if (other != rank && (rank == 0 || other == 0) && next[static_cast<std::size_t>(other)] != sizes.size()) return false;
    return messenger.idle();
  };
  while (!complete()) messenger.poll(handle);
  environment.self_test();
  if (rank == 0) fmt::print("{} ranks exchanged {} frames each\n", size, sizes.size());
  return 0;
}
