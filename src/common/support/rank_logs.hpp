#pragma once
// One log file per rank: FOLDER/rank-0003.log.
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace spdlog {
class logger;
}

namespace mgpu {

inline constexpr int log_info = 1, log_warning = 2, log_error = 3;

class RankLogs {
 public:
  /// Makes the folder; throws usage_error if that fails.
  explicit RankLogs(std::string folder);
  /// `level`: 0 debug, 1 info, 2 warning, 3 error.
  void write(int rank, int level, std::string_view text);

 private:
  std::string folder_;
  std::map<int, std::shared_ptr<spdlog::logger>> logs_;
};

} // namespace mgpu
