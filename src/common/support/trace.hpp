#pragma once
// A Chrome trace (opens in Perfetto): events are JSON objects as the ranks made them, appended while the run goes on.
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
  /// `events`: JSON objects with commas between them.
  void append(std::string_view events);

 private:
  std::FILE* file_;
  bool first_ = true;
};

} // namespace mgpu
