// Encoding texts on one thread: bench_tokenizer TOKENIZER.JSON TEXTS. TEXTS holds texts, each after its number of bytes (uint32).
// Prints the seconds of processor time of one pass over all texts after another, the number of tokens, and the seconds of opening.
#include <fmt/format.h>
#include <time.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "mgpu/tokenizer.hpp"

namespace {

double processor_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::size_t encode_all(const mgpu::Tokenizer& tokenizer, const std::vector<std::string_view>& texts) {
  std::size_t tokens = 0;
  for (const std::string_view text : texts) tokens += tokenizer.encode(text).size();
  return tokens;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::ifstream file(argv[2], std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::string_view> texts;
  for (std::size_t at = 0; at + 4 <= content.size();) {
    std::uint32_t size = 0;
    std::memcpy(&size, content.data() + at, sizeof size);
    texts.push_back(std::string_view(content).substr(at + sizeof size, size));
    at += sizeof size + size;
  }
  const double opening = processor_seconds();
  const auto tokenizer = mgpu::Tokenizer::open(argv[1]);
  const double open_s = processor_seconds() - opening;
  encode_all(tokenizer, texts);
  const double begin = processor_seconds();
  const std::size_t tokens = encode_all(tokenizer, texts);
  fmt::print("{} {} {}\n", processor_seconds() - begin, tokens, open_s);
  return 0;
}
