#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace mgpu {

/// A path for a person: in quotes, control characters and bytes that are not UTF-8 shown as \n, \xHH.
std::string show_path(std::string_view bytes);

/// Columns padded to equal width, two spaces between them; the first row is the heading. Numbers (by `right_aligned`) to the right.
std::string table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right_aligned);

} // namespace mgpu
