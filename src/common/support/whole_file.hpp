#pragma once
#include <string>
#include <string_view>

namespace mgpu {

/// Replaces the file at `path` by one with `content`: writes PATH.new (created anew, links are not followed) and renames it. With
/// `durable` it is on the disk before this returns. Throws Error.
void write_whole_file(const std::string& path, std::string_view content, bool durable = false);

/// Renames a finished file to its name so that after a crash of the machine either the old or the new one is intact: its bytes
/// and its name are on the disk before this returns. Throws Error.
void put_in_place(const std::string& aside, const std::string& path);

} // namespace mgpu
