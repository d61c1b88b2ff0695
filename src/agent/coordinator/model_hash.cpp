#include "agent/coordinator/model_hash.hpp"

#include <fmt/format.h>

#include "common/support/hash.hpp"
#include "common/support/text.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent {

namespace {
constexpr std::chrono::milliseconds look_every{50};
constexpr double leave_after_s = 5;
} // namespace

ModelHash::ModelHash(const std::string& path)
    : path_(path), thread_([reading = reading_, path] {
        try {
          reading->hex = sha256_of(path, [&](std::string_view, std::uint64_t, std::uint64_t) {
            if (reading->called_off) throw Error("called off");
          });
        } catch (const std::exception& error) {
          reading->error = error.what();
        }
      }) {}

ModelHash::~ModelHash() {
  reading_->called_off = true;
  while (!thread_.done(look_every) && thread_.still_s() < leave_after_s) continue;
}

std::optional<std::string> ModelHash::poll() {
  if (!thread_.done()) return std::nullopt;
  if (!reading_->error.empty()) throw Error(reading_->error);
  return reading_->hex;
}

std::string ModelHash::wait(double stall_s) {
  while (!thread_.done(look_every)) {
    const double still_s = thread_.still_s();
    if (stall_s > 0 && still_s > stall_s)
      throw Error(
          fmt::format("--model {}: nothing could be read of it for {:.0f} s; does its file system answer? (--stall-timeout)",
                      show_path(path_), still_s),
          ExitCode::stopped);
  }
  return poll().value();
}

} // namespace mgpu::agent
