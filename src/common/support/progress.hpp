#pragma once
// The live line of a run: a bar on a terminal, a line every ten seconds elsewhere.
#include <cstdint>
#include <string>
#include <string_view>

namespace mgpu {

class Progress {
 public:
  /// `mode`: auto, bar, plain or none.
  Progress(std::string_view mode, std::uint64_t total);
  ~Progress();

  /// Items done earlier, which do not count for the speed.
  void begin_with(std::uint64_t done) { earlier_ = done; }
  /// May be called often. `opening` is shown while no item is done.
  void update(std::uint64_t done, std::uint64_t failed, double now_s, std::string_view opening = {});
  /// As update, with the caller's line: `done` of `total` is the bar.
  void show(std::uint64_t done, std::uint64_t total, std::string_view line, double now_s);
  /// True when show() would print; saves making an unused line.
  bool due(double now_s) const;
  /// Prints a line for the user above the bar, on stderr.
  void say(std::string_view line);
  /// Removes the bar or prints the last plain line.
  void close();

 private:
  std::string text(std::uint64_t done, std::uint64_t failed, double elapsed_s) const;
  void print(std::uint64_t done, std::uint64_t total, std::string_view line);
  void erase();
  enum class Mode : std::uint8_t { bar, plain, none } mode_;
  std::uint64_t total_;
  double began_s_, shown_s_;
  std::uint64_t done_ = 0, failed_ = 0, earlier_ = 0;
  bool drawn_ = false, closed_ = false;
};

} // namespace mgpu
