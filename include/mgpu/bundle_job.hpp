#pragma once
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "mgpu/config.hpp"
#include "mgpu/job.hpp"

namespace mgpu {

/// The agent's side of a job with one model from a bundle or a bare .pt: its options (preprocessing, topk, label-column), its checks, and
/// the accuracy at the end. A job adds its summary and examples, and overrides functions where it differs.
class BundleJob : public Job {
 public:
  std::vector<OptionSpec> options() const override;
  void check(const Config& config) const override;
  Media media(const Config& config) const override;
  /// The column of --label-column: a wrong name is refused before any work.
  std::vector<std::string> item_columns(const Config& config) const override;
  /// Calls check_labels if --label-column is given.
  void check_items(const Config& config, const Items& items) const override;
  /// Calls print_accuracy if --label-column is given.
  void finish(const Config& config, const Results& results, std::ostream& out) const override;
};

/// Compares `/results/label` (its first column when it is [N, K]) with the manifest's `column`, whose values are class names or
/// indices, and prints the accuracy over the items that are ok and have a value. Throws usage_error if a value is no class, or if the
/// results have no classes.
void print_accuracy(const Results& results, const std::vector<std::string>& labels, std::string_view column, std::ostream& out);

/// Throws usage_error if `column` has a value that is neither empty, nor one of `labels`, nor the index of a class.
void check_labels(const Items& items, const std::vector<std::string>& labels, std::string_view column);

} // namespace mgpu
