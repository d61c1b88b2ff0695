#include "launch/status.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "mgpu/error.hpp"

namespace mgpu::launch {

using nlohmann::json;

namespace {

void sync(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0 || fsync(descriptor) != 0) {
    const int reason = errno;
    if (descriptor >= 0) close(descriptor);
    throw Error(fmt::format("{}: {}", path, std::strerror(reason)));
  }
  close(descriptor);
}

} // namespace

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
    return std::nullopt; // of somebody else
  }
}

void write_status(const std::string& output, const Status& status, bool durable) {
  json written{{"state", status.done ? "done" : "running"},
               {"token", status.token},
               {"host", status.host},
               {"pid", status.pid},
               {"beat", status.beat}};
  if (status.done) written.update({{"exit_code", status.exit_code}, {"lost_machines", status.lost_machines}});
  const std::string path = status_path(output);
  const std::string aside = path + ".new";
  std::ofstream file(aside, std::ios::trunc);
  file << written.dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
  file.close();
  if (!file) throw Error(fmt::format("cannot write {}", aside));
  if (durable) sync(aside);
  if (std::rename(aside.c_str(), path.c_str()) != 0) throw Error(fmt::format("{}: {}", path, std::strerror(errno)));
  if (durable) sync(std::filesystem::absolute(path).parent_path().string());
}

} // namespace mgpu::launch
