#pragma once
#include <iosfwd>
#include <string>
#include <string_view>

namespace mgpu::write {

/// Prints what a result file holds. Throws usage_error when it is missing or not one of ours.
void inspect(const std::string& path, std::ostream& out);

/// Prints its rows; `format` is csv or jsonl.
void export_rows(const std::string& path, std::string_view format, std::ostream& out);

} // namespace mgpu::write
