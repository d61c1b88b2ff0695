#pragma once
#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <string_view>

namespace mgpu {

/// fmt::print without exceptions: a full disk or a closed pipe loses the text but does not end the run.
template <typename... Arguments>
void say(std::FILE* stream, fmt::format_string<Arguments...> text, Arguments&&... arguments) {
  const std::string line = fmt::format(text, std::forward<Arguments>(arguments)...);
  std::fwrite(line.data(), 1, line.size(), stream);
}

/// To standard output.
template <typename... Arguments>
void say(fmt::format_string<Arguments...> text, Arguments&&... arguments) {
  say(stdout, text, std::forward<Arguments>(arguments)...);
}

inline void print_notice(std::string_view text) {
  say("note: {}\n", text);
}

inline void print_warning(std::string_view text) {
  say(stderr, "warning: {}\n", text);
}

} // namespace mgpu
