#include "common/support/rank_logs.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <filesystem>

#include "mgpu/error.hpp"

namespace mgpu {

RankLogs::RankLogs(std::string folder) : folder_(std::move(folder)) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) throw usage_error(fmt::format("--log-dir {}: {}", folder_, error.message()));
}

void RankLogs::write(int rank, int level, std::string_view text) {
  std::shared_ptr<spdlog::logger>& log = logs_[rank];
  if (!log) {
    const std::string path = fmt::format("{}/rank-{:04}.log", folder_, rank);
    log =
        std::make_shared<spdlog::logger>(fmt::format("rank {}", rank), std::make_shared<spdlog::sinks::basic_file_sink_mt>(path));
    log->set_level(spdlog::level::debug);
    log->flush_on(spdlog::level::debug);
  }
  constexpr spdlog::level::level_enum levels[] = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                                  spdlog::level::err};
  log->log(levels[std::min(level, 3)], "{}", text);
}

} // namespace mgpu
