#include <fmt/format.h>

#include <charconv>
#include <map>
#include <ostream>

#include "mgpu/bundle_job.hpp"

namespace mgpu {

namespace {

/// Class index of a manifest value: a class name, else a number.
std::int64_t class_of(const std::map<std::string, std::int64_t, std::less<>>& classes, const std::string& value,
                      std::string_view column, std::uint64_t row) {
  if (const auto found = classes.find(value); found != classes.end()) return found->second;
  std::int64_t index = -1;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), index);
  if (error != std::errc() || end != value.data() + value.size())
    throw usage_error(fmt::format("column {}, item {}: '{}' is neither a class of the model nor a number", column, row, value));
  return index;
}

} // namespace

void print_accuracy(const Results& results, const std::vector<std::string>& labels, std::string_view column, std::ostream& out) {
  if (!results.has("label"))
    throw usage_error("--label-column needs a classifier: give the bundle \"labels\", or pass --labels or --topk");
  std::map<std::string, std::int64_t, std::less<>> classes;
  for (const std::string& label : labels) classes.emplace(label, static_cast<std::int64_t>(classes.size()));
  const std::vector<Status> status = results.status();
  const std::vector<std::string> truth = results.manifest_column(column);
  const std::vector<double> found = results.numbers("label");
  if (status.empty()) return;
  const std::size_t columns = found.size() / status.size();
  std::uint64_t counted = 0, right = 0;
  for (std::size_t row = 0; row < status.size(); ++row) {
    if (status[row] != Status::ok || truth[row].empty()) continue;
    ++counted;
    if (class_of(classes, truth[row], column, row) == static_cast<std::int64_t>(found[row * columns])) ++right;
  }
  const double share = counted > 0 ? 100.0 * static_cast<double>(right) / static_cast<double>(counted) : 0.0;
  out << fmt::format("Accuracy: {:.2f} % ({} of {} items)\n", share, right, counted);
}

} // namespace mgpu
