#include "common/support/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "common/support/clock.hpp"
#include "common/support/say.hpp"

namespace mgpu {

namespace {
constexpr double bar_every_s = 0.1;
constexpr double plain_every_s = 10.0;
constexpr std::uint64_t bar_width = 28;
} // namespace

Progress::Progress(std::string_view mode, std::uint64_t total) : total_(total), began_s_(now_s()), shown_s_(began_s_) {
  if (mode == "none")
    mode_ = Mode::none;
  else if (mode == "bar" || (mode == "auto" && isatty(STDERR_FILENO) != 0))
    mode_ = Mode::bar;
  else
    mode_ = Mode::plain;
}

Progress::~Progress() {
  close();
}

std::string Progress::text(std::uint64_t done, std::uint64_t failed, double elapsed_s) const {
  const double rate = elapsed_s > 0 ? static_cast<double>(done - std::min(done, earlier_)) / elapsed_s : 0.0;
  std::string line = fmt::format("{}/{} items · {:.1f} items/s", done, total_, rate);
  if (failed > 0) line += fmt::format(" · {} failed", failed);
  if (rate > 0 && done < total_) line += fmt::format(" · {} left", human_duration(static_cast<double>(total_ - done) / rate));
  return line;
}

void Progress::update(std::uint64_t done, std::uint64_t failed, double now_s, std::string_view opening) {
  if (mode_ == Mode::none || closed_) return;
  done_ = done;
  failed_ = failed;
  if (!due(now_s)) return;
  shown_s_ = now_s;
  print(done, total_, done == earlier_ && !opening.empty() ? std::string(opening) : text(done, failed, now_s - began_s_));
}

void Progress::show(std::uint64_t done, std::uint64_t total, std::string_view line, double now_s) {
  if (!due(now_s)) return;
  shown_s_ = now_s;
  print(done, total, line);
}

bool Progress::due(double now_s) const {
  return mode_ != Mode::none && !closed_ && now_s - shown_s_ >= (mode_ == Mode::bar ? bar_every_s : plain_every_s);
}

void Progress::print(std::uint64_t done, std::uint64_t total, std::string_view line) {
  if (mode_ == Mode::plain) {
    mgpu::say(stderr, "{}\n", line);
    return;
  }
  const std::uint64_t filled = total == 0 ? 0 : std::min(bar_width, done * bar_width / total);
  std::string bar;
  for (std::uint64_t cell = 0; cell < bar_width; ++cell) bar += cell < filled ? "━" : "·";
  mgpu::say(stderr, "\r\033[K{} {}", bar, line);
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::erase() {
  if (drawn_) mgpu::say(stderr, "\r\033[K");
  drawn_ = false;
}

void Progress::say(std::string_view line) {
  erase();
  mgpu::say(stderr, "{}\n", line);
  std::fflush(stderr);
}

void Progress::close() {
  if (closed_) return;
  erase();
  closed_ = true;
  if (mode_ == Mode::plain && done_ > 0) mgpu::say(stderr, "{}\n", text(done_, failed_, now_s() - began_s_));
  std::fflush(stderr);
}

} // namespace mgpu
