#include "agent/launch/status.hpp"

#include <fstream>
#include <nlohmann/json.hpp>

#include "common/support/whole_file.hpp"

namespace mgpu::agent::launch {

using nlohmann::json;

std::string status_path(const std::string& output) {
  return output + ".status.json";
}

std::optional<Status> read_status(const std::string& output) {
  std::ifstream file(status_path(output));
  const json read = json::parse(file, nullptr, false);
  if (!read.is_object()) return std::nullopt;
  try {
    Status status;
    status.token = read.at("token").get<std::string>();
    status.host = read.at("host").get<std::string>();
    status.pid = read.at("pid").get<std::int64_t>();
    status.beat = read.at("beat").get<std::uint64_t>();
    status.done = read.at("state").get<std::string>() == "done";
    status.exit_code = read.value("exit_code", 0);
    status.lost_machines = read.value("lost_machines", false);
    return status;
  } catch (const json::exception&) {
    return std::nullopt; // not a status of this program
  }
}

void write_status(const std::string& output, const Status& status, bool durable) {
  json written{{"state", status.done ? "done" : "running"},
               {"token", status.token},
               {"host", status.host},
               {"pid", status.pid},
               {"beat", status.beat}};
  if (status.done) written.update({{"exit_code", status.exit_code}, {"lost_machines", status.lost_machines}});
  write_whole_file(status_path(output), written.dump(-1, ' ', false, json::error_handler_t::replace) + '\n', durable);
}

} // namespace mgpu::agent::launch
