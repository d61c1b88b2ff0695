#pragma once
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "mgpu/config.hpp"
#include "mgpu/job.hpp"

namespace mgpu {

/// The agent's side of a job that feeds one model from a bundle or a bare .pt: its options (how to prepare items, topk,
/// label-column), its checks, and the accuracy at the end. A job adds its summary and examples, and overrides what it does otherwise.
class BundleJob : public Job {
 public:
  std::vector<OptionSpec> options() const override;
  void check(const Config& config) const override;
  Media media(const Config& config) const override;
  /// The column of --label-column, so that a wrong name is refused before any work.
  std::vector<std::string> item_columns(const Config& config) const override;
  /// With --label-column: check_labels.
  void check_items(const Config& config, const Items& items) const override;
  /// With --label-column: print_accuracy.
  void finish(const Config& config, const Results& results, std::ostream& out) const override;
};

/// Compares `/results/label` (its first column when it is [N, K]) with the manifest's `column`, whose values are class names or
/// indices, and prints the accuracy over the items that are ok. Throws usage_error when the column has a value that is no class, or where
/// the results have no classes.
void print_accuracy(const Results& results, const std::vector<std::string>& labels, std::string_view column, std::ostream& out);

/// Throws usage_error when `column` has a value that is neither empty, nor one of `labels`, nor the index of a class.
void check_labels(const Items& items, const std::vector<std::string>& labels, std::string_view column);

} // namespace mgpu
