#pragma once
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "mgpu/config.hpp"
#include "mgpu/job.hpp"

namespace mgpu {

/// The options of every job that feeds one model from a bundle or a bare .pt: how to prepare items (Bundle::open reads them) and
/// what to make of the outputs (topk, label-column). A job returns them from Job::options, with its own beside them.
std::vector<OptionSpec> bundle_options();

/// Compares `/results/label` (its first column when it is [N, K]) with the manifest's `column`, whose values are class names or
/// indices, and prints the accuracy over the items that are ok. Throws usage_error when the column has a value that is no class.
void print_accuracy(const Results& results, const std::vector<std::string>& labels, std::string_view column, std::ostream& out);

} // namespace mgpu
