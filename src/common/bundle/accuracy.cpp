#include <fmt/format.h>

#include <map>
#include <ostream>

#include "common/support/text.hpp"
#include "mgpu/bundle_job.hpp"

namespace mgpu {

namespace {

/// Class indices of manifest values: the name of a class, else a number.
class Classes {
 public:
  Classes(const std::vector<std::string>& labels, std::string_view column) : column_(column) {
    for (const std::string& label : labels) indices_.emplace(label, static_cast<std::int64_t>(indices_.size()));
  }

  std::int64_t index_of(const std::string& value, std::uint64_t item) const {
    if (const auto found = indices_.find(value); found != indices_.end()) return found->second;
    std::int64_t index = -1;
    if (!parse_number(value, index))
      throw usage_error(fmt::format("--label-column {}, item {}: {} is neither a class of the model nor the index of one",
                                    column_, item, show_path(value)));
    if (index < 0 || (!indices_.empty() && index >= static_cast<std::int64_t>(indices_.size())))
      throw usage_error(fmt::format("--label-column {}, item {}: the model has no class {}", column_, item, index));
    return index;
  }

 private:
  std::map<std::string, std::int64_t, std::less<>> indices_;
  std::string_view column_;
};

} // namespace

void check_labels(const Items& items, const std::vector<std::string>& labels, std::string_view column) {
  const Classes classes(labels, column);
  for (std::uint64_t item = 0; item < items.size(); ++item)
    if (const std::string value = items.value(column, item); !value.empty()) classes.index_of(value, item);
}

void print_accuracy(const Results& results, const std::vector<std::string>& labels, std::string_view column, std::ostream& out) {
  if (!results.has("label"))
    throw usage_error("--label-column needs a classifier: give the bundle \"labels\", or pass --labels or --topk");
  const Classes classes(labels, column);
  const std::vector<Status> status = results.status();
  const std::vector<std::string> truth = results.manifest_column(column);
  const std::vector<double> found = results.numbers("label");
  if (status.empty()) return;
  const std::size_t columns = found.size() / status.size();
  std::uint64_t counted = 0, right = 0;
  for (std::size_t row = 0; row < status.size(); ++row) {
    if (status[row] != Status::ok || truth[row].empty()) continue;
    ++counted;
    if (classes.index_of(truth[row], row) == static_cast<std::int64_t>(found[row * columns])) ++right;
  }
  const double share = counted > 0 ? 100.0 * static_cast<double>(right) / static_cast<double>(counted) : 0.0;
  out << fmt::format("Accuracy: {:.2f} % ({} of {} items)\n", share, right, counted);
}

} // namespace mgpu
