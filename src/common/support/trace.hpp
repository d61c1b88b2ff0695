#pragma once
// A Chrome trace (opens in Perfetto): the ranks send events as JSON objects, which are appended during the run.
#include <cstdio>
#include <string>
#include <string_view>

namespace mgpu {

class TraceFile {
 public:
  /// Throws usage_error if the file cannot be made.
  explicit TraceFile(const std::string& path);
  ~TraceFile();
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;
  /// `events`: JSON objects separated by commas.
  void append(std::string_view events);

 private:
  std::FILE* file_;
  bool first_ = true;
};

} // namespace mgpu
