#include "agent/setup/labels.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <set>

#include "common/support/text.hpp"

namespace mgpu::agent {

namespace {

namespace fs = std::filesystem;

/// More classes than this are labels of another kind: texts, or target numbers (mse).
constexpr std::uint64_t most_classes = 1'000'000;

[[noreturn]] void refuse(const LabelledSet& set, std::uint64_t row, const std::string& why) {
  throw usage_error(fmt::format("{}, item {} ({}): {}", set.option, row, show_path(set.manifest.path(row)), why));
}

std::vector<std::string_view> class_words(std::string_view label, std::string_view loss) {
  return loss == "bce" ? split_trimmed(label, ';') : std::vector{trimmed(label)};
}

void label_by_folder(LabelledSet& set, const std::string& input) {
  const std::size_t root = input.ends_with('/') ? input.size() : input.size() + 1;
  std::set<std::string, std::less<>> found;
  for (std::uint64_t row = 0; row < set.manifest.size(); ++row) {
    const std::string_view inner = set.manifest.path(row).substr(root);
    const std::size_t end = inner.find('/');
    if (end == std::string_view::npos)
      refuse(set, row, "lies in no class folder; a folder has one folder a class below it, or give a table with a column label");
    set.labels.append(inner.substr(0, end));
    found.emplace(inner.substr(0, end));
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(input, error)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_directory(error) && !name.starts_with('.') && !found.contains(name))
      throw usage_error(fmt::format("{}: the class folder {} is empty", set.option, show_path(name)));
  }
}

void check_class(const LabelledSet& set, std::uint64_t row, std::string_view word, const std::vector<std::string>& sorted,
                 const std::vector<std::string>& classes) {
  if (std::binary_search(sorted.begin(), sorted.end(), word)) return;
  std::uint64_t index = 0;
  if (parse_number(word, index) && index < classes.size()) return;
  refuse(set, row,
         word.empty() ? "its label is empty; the classes are " + listed(classes, "classes")
                      : fmt::format("label '{}' is not a class; the classes are {}", word, listed(classes, "classes")));
}

void check_classes(const LabelledSet& set, std::string_view loss, const std::vector<std::string>& classes) {
  std::vector<std::string> sorted = classes;
  std::sort(sorted.begin(), sorted.end());
  for (std::uint64_t row = 0; row < set.labels.size(); ++row)
    for (const std::string_view word : class_words(set.labels[row], loss)) check_class(set, row, word, sorted, classes);
}

void check_numbers(const LabelledSet& set) {
  std::size_t expected = 0;
  for (std::uint64_t row = 0; row < set.labels.size(); ++row) {
    const auto parts = split_trimmed(set.labels[row], ';');
    for (const std::string_view part : parts) {
      double number = 0;
      if (!parse_number(part, number) || !std::isfinite(number))
        refuse(set, row, fmt::format("label '{}' is not a number, or numbers with ';' between (--loss mse)", set.labels[row]));
    }
    if (parts.empty()) refuse(set, row, "its label is empty; --loss mse needs a number");
    if (row == 0) expected = parts.size();
    if (parts.size() != expected) refuse(set, row, fmt::format("its label has {} numbers, others {}", parts.size(), expected));
  }
}

/// Matches the longest symbol first, as the worker does.
void check_text(const LabelledSet& set, const CtcSpec& ctc) {
  std::set<std::string, std::less<>> symbols;
  std::size_t longest = 0;
  for (std::size_t at = 0; at < ctc.vocabulary.size(); ++at) {
    if (static_cast<std::int64_t>(at) == ctc.blank) continue;
    symbols.insert(ctc.vocabulary[at]);
    longest = std::max(longest, ctc.vocabulary[at].size());
  }
  for (std::uint64_t row = 0; row < set.labels.size(); ++row) {
    const std::string_view text = set.labels[row];
    for (std::size_t at = 0; at < text.size();) {
      std::size_t length = std::min(longest, text.size() - at);
      while (length > 0 && !symbols.contains(text.substr(at, length))) --length;
      if (length == 0) {
        std::size_t end = at + 1;
        while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0u) == 0x80u) ++end; // a whole UTF-8 character
        refuse(set, row,
               fmt::format("label '{}' has '{}', which is not in the bundle's vocabulary", text, text.substr(at, end - at)));
      }
      at += length;
    }
  }
}

} // namespace

void read_labels(LabelledSet& set, const std::string& input, const std::string& column, bool required) {
  set.labels.reserve(set.manifest.size(), 8 * set.manifest.size());
  std::error_code error;
  if (fs::is_directory(input, error)) {
    if (required) return label_by_folder(set, input);
  } else if (const auto at = set.manifest.column(column)) {
    for (std::uint64_t row = 0; row < set.manifest.size(); ++row) set.labels.append(set.manifest.value(*at, row));
    return;
  } else if (required) {
    const auto& names = set.manifest.column_names();
    throw usage_error(
        fmt::format("{}: no column '{}' to learn from ({}); name it by --label-column, or give a folder with a folder a class",
                    set.option, column, names.empty() ? "a path alone" : fmt::format("it has {}", fmt::join(names, ", "))));
  }
  for (std::uint64_t row = 0; row < set.manifest.size(); ++row) set.labels.append({});
}

std::vector<std::string> find_classes(const LabelledSet& set, std::string_view loss) {
  std::set<std::string, std::less<>> names;
  for (std::uint64_t row = 0; row < set.labels.size(); ++row)
    for (const std::string_view word : class_words(set.labels[row], loss)) {
      if (word.empty()) refuse(set, row, "its label is empty; a class is needed");
      if (!names.contains(word)) names.emplace(word);
    }
  std::uint64_t largest = 0;
  const bool numbers = std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    std::uint64_t number = 0;
    if (!parse_number(name, number) || std::to_string(number) != name || number >= most_classes) return false;
    largest = std::max(largest, number);
    return true;
  });
  if (!numbers || names.empty()) return {names.begin(), names.end()};
  std::vector<std::string> classes;
  for (std::uint64_t number = 0; number <= largest; ++number) classes.push_back(std::to_string(number));
  return classes;
}

void check_labels(const LabelledSet& set, std::string_view loss, const std::vector<std::string>& classes, const Bundle& bundle) {
  if (loss == "cross_entropy" || loss == "bce") check_classes(set, loss, classes);
  if (loss == "mse") check_numbers(set);
  if (loss != "ctc") return;
  if (!bundle.ctc)
    throw usage_error("--loss ctc: the model must be a bundle with \"task\": \"ctc\" and a \"vocabulary\" (docs/bundles.md)");
  check_text(set, *bundle.ctc);
}

} // namespace mgpu::agent
