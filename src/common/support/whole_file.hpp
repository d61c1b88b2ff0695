#pragma once
#include <string>
#include <string_view>

namespace mgpu {

/// Replaces the file at `path` by one that holds `content`: written aside as PATH.new, which is made anew and never followed where it is a
/// link, and renamed. With `durable` it is on the disk before this returns. Throws Error.
void write_whole_file(const std::string& path, std::string_view content, bool durable = false);

/// Renames a finished file to its name so that a crash of the machine leaves the old one or the new one, whole: its bytes and its name are
/// on the disk before this returns. Throws Error.
void put_in_place(const std::string& aside, const std::string& path);

} // namespace mgpu
