#include "common/support/trace.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "mgpu/error.hpp"

namespace mgpu {

TraceFile::TraceFile(const std::string& path) : file_(std::fopen(path.c_str(), "we")) {
  if (file_ == nullptr) throw usage_error(fmt::format("--trace {}: {}", path, std::strerror(errno)));
  std::fputs("[\n", file_);
}

TraceFile::~TraceFile() {
  std::fputs("\n]\n", file_);
  std::fclose(file_);
}

void TraceFile::append(std::string_view events) {
  if (events.empty()) return;
  if (!first_) std::fputs(",\n", file_);
  first_ = false;
  std::fwrite(events.data(), 1, events.size(), file_);
}

} // namespace mgpu
