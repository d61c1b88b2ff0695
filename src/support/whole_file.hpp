#pragma once
#include <string>
#include <string_view>

namespace mgpu {

/// Replaces the file at `path` by one that holds `content`: written aside as PATH.new, which is made anew and never followed where it is a
/// link, and renamed. With `durable` it is on the disk before this returns. Throws Error.
void write_whole_file(const std::string& path, std::string_view content, bool durable = false);

} // namespace mgpu
