#pragma once
// What the fuzzers share. Each is one function over bytes that nobody has checked: whatever they are, the code under test either uses
// them or throws mgpu::Error; anything else is a finding.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include <unistd.h>

#include "mgpu/error.hpp"

namespace mgpu::fuzz {

/// Runs `use`; an mgpu::Error is a good answer.
template <typename Use>
void must_not_fall(const Use& use) {
  try {
    use();
  } catch (const Error&) {
  }
}

/// The bytes as a file of this name, in memory.
class File {
 public:
  File(const std::string& name, std::string_view bytes) : path_("/dev/shm/mgpu_fuzz_" + std::to_string(getpid()) + "_" + name) {
    std::FILE* file = std::fopen(path_.c_str(), "wb");
    if (file == nullptr || std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size() || std::fclose(file) != 0)
      std::abort();
  }
  ~File() { ::unlink(path_.c_str()); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

} // namespace mgpu::fuzz
