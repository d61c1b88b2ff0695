// A worker without LibTorch, as a program: MGPU_WORKER names it. Gives one column, double_index = 2 × item index, after the seconds that
// FAKE_ITEM_S says an item takes. FAKE_HANG=RANK:BATCHES: that rank's worker stops answering after so many batches.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <string>

#include "common/support/clock.hpp"
#include "common/wire/batch_result.hpp"
#include "common/wire/channel.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/fork_request.hpp"
#include "common/wire/fork_server.hpp"
#include "common/wire/items_messages.hpp"
#include "common/wire/row_crc.hpp"
#include "mgpu/version.hpp"

namespace {

using namespace mgpu;
using wire::Type;

const ColumnSpec double_index{"double_index", DType::float64, Layout::fixed, {}};

double seconds_an_item() {
  const char* text = std::getenv("FAKE_ITEM_S");
  return text != nullptr ? std::stod(text) : 0.0;
}

void send_result(wire::Channel& channel, const wire::BatchRange& range) {
  const std::size_t begin = range.wanted_rows == 0 ? 0 : range.wanted_begin;
  const std::size_t rows = range.wanted_rows == 0 ? range.items.size() : range.wanted_rows;
  const std::vector<std::uint8_t> status(rows, static_cast<std::uint8_t>(Status::ok)), flags(rows, flag_none);
  const std::vector<float> seconds(rows, 0.0F);
  std::vector<double> values;
  for (std::size_t row = begin; row < begin + rows; ++row) values.push_back(2.0 * static_cast<double>(range.items[row].index));
  wire::BatchResult result;
  result.batch = range.batch;
  result.first = range.first + begin;
  result.attempt = range.attempt;
  result.status = status;
  result.flags = flags;
  result.seconds = seconds;
  result.columns.push_back({0, {}, std::as_bytes(std::span(values))});
  wire::Buffer bytes(wire::encoded_size(result));
  const wire::BlockPlaces places = wire::encode(result, bytes.data());
  wire::make_row_crcs(result, std::vector{double_index}, places.crcs);
  channel.send(Type::results, wire::View(bytes));
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
      send_result(channel, work.front());
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
