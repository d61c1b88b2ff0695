// A worker without LibTorch, as a program: MGPU_WORKER names it. Gives one column, double_index = 2 × item index, after the seconds that
// FAKE_ITEM_S says an item takes. FAKE_HANG=RANK:BATCHES: that rank's worker stops answering after so many batches.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <string>

#include "agent/double_result.hpp"
#include "common/support/clock.hpp"
#include "common/wire/channel.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/fork_request.hpp"
#include "common/wire/fork_server.hpp"
#include "common/wire/items_messages.hpp"
#include "mgpu/version.hpp"

namespace {

using namespace mgpu;
using agent::double_index;
using wire::Type;

double seconds_an_item() {
  const char* text = std::getenv("FAKE_ITEM_S");
  return text != nullptr ? std::stod(text) : 0.0;
}

} // namespace

int main(int argc, char**) {
  for (const int each : {SIGPIPE, SIGINT, SIGTERM, SIGUSR1, SIGUSR2}) signal(each, SIG_IGN);
  if (argc < 3) return 2;
  wire::leave_fork_server(wire::WorkerDescriptors::forks);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  wire::Channel channel(wire::WorkerDescriptors::socket);
  wire::Hello hello;
  hello.versions.mgpu = std::string(version);
  hello.device_note = "a fake worker";
  channel.send(Type::hello, hello);
  std::deque<wire::BatchRange> work;
  wire::Stats stats;
  bool finishing = false;
  int rank = 0;
  const double item_s = seconds_an_item();
  const std::string hang = std::getenv("FAKE_HANG") != nullptr ? std::getenv("FAKE_HANG") : "";
  while (!channel.closed()) {
    channel.receive([&](Type type, wire::View payload) {
      if (type == Type::configure) {
        rank = wire::decode<wire::Configure>(payload).rank;
        wire::Opened opened;
        opened.device = "cpu";
        opened.columns.push_back(double_index);
        channel.send(Type::opened, opened);
      }
      if (type == Type::grant)
        for (wire::BatchRange& range : wire::decode<wire::Grant>(payload).batches) work.push_back(std::move(range));
      if (type == Type::finish) finishing = true;
    });
    if (!work.empty() && !hang.empty() && hang == std::to_string(rank) + ":" + std::to_string(stats.batches)) {
      for (;;) pause();
    } else if (!work.empty()) {
      usleep(static_cast<useconds_t>(1e6 * item_s * static_cast<double>(work.front().items.size())));
      channel.send(Type::results, agent::double_result(work.front()).bytes);
      stats.items += work.front().items.size();
      ++stats.batches;
      work.pop_front();
    } else if (finishing) {
      channel.send(Type::stats, stats);
      return 0;
    } else {
      channel.wait(std::chrono::seconds(1));
    }
  }
  return 1;
}
