#include "common/support/cpu_list.hpp"

#include <charconv>
#include <fstream>

namespace mgpu {

namespace {
constexpr std::int32_t most = 1 << 16; // more than any machine has; the list is then invalid
}

std::vector<std::int32_t> parse_cpu_list(std::string_view text) {
  std::vector<std::int32_t> numbers;
  const char *at = text.data(), *const end = at + text.size();
  while (at < end) {
    std::int32_t first = 0;
    auto read = std::from_chars(at, end, first);
    if (read.ec != std::errc()) break;
    std::int32_t last = first;
    if (read.ptr < end && *read.ptr == '-') {
      read = std::from_chars(read.ptr + 1, end, last);
      if (read.ec != std::errc()) break;
    }
    if (first < 0 || last < first || last >= most) break;
    for (std::int32_t number = first; number <= last; ++number) numbers.push_back(number);
    at = read.ptr;
    if (at < end && *at == ',') ++at;
  }
  return numbers;
}

std::vector<std::int32_t> read_cpu_list(const std::string& path) {
  std::string line;
  std::getline(std::ifstream(path), line);
  return parse_cpu_list(line);
}

} // namespace mgpu
