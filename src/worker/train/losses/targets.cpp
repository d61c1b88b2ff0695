#include "mgpu/targets.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "common/support/text.hpp"
#include "worker/device/torch.hpp"

namespace mgpu {

namespace {

[[noreturn]] void refuse(const Item& item, std::string_view label, const std::string& why) {
  throw usage_error(fmt::format("item {} ({}): label '{}' {}", item.index, show_path(item.path), label, why));
}

std::vector<std::string> class_names(const Config& config, const Bundle& bundle) {
  if (config.has("classes"))
    if (auto names = config.get<std::vector<std::string>>("classes"); !names.empty()) return names;
  return bundle.labels;
}

} // namespace

Targets::Targets(TargetKind kind, const Config& config, const Bundle& bundle) : kind_(kind) {
  if (kind == TargetKind::numbers) return;
  if (kind == TargetKind::symbols) {
    if (!bundle.ctc)
      throw usage_error("--loss ctc: the model must be a bundle with \"task\": \"ctc\" and a \"vocabulary\" (docs/bundles.md)");
    for (std::size_t i = 0; i < bundle.ctc->vocabulary.size(); ++i) {
      if (static_cast<std::int64_t>(i) == bundle.ctc->blank) continue;
      index_.emplace(bundle.ctc->vocabulary[i], static_cast<std::int64_t>(i));
      longest_ = std::max(longest_, bundle.ctc->vocabulary[i].size());
    }
    return;
  }
  names_ = class_names(config, bundle);
  if (names_.empty() && kind == TargetKind::some_classes)
    throw usage_error("the names of the classes are not known: give the bundle \"labels\", or pass --labels");
  for (const std::string& name : names_) index_.emplace(name, static_cast<std::int64_t>(index_.size()));
}

std::int64_t Targets::class_of(const Item& item, std::string_view word) const {
  if (const auto found = index_.find(word); found != index_.end()) return found->second;
  std::int64_t index = -1;
  if (!parse_number(word, index)) {
    if (word.empty()) refuse(item, word, "is empty: a class is needed");
    refuse(item, word, names_.empty() ? "is not the index of a class" : "is not a class: " + listed(names_, "classes"));
  }
  if (index < 0 || (!names_.empty() && index >= classes()))
    refuse(item, word, names_.empty() ? "is below 0" : "is not a class: " + listed(names_, "classes"));
  return index;
}

std::vector<std::int64_t> Targets::symbols_of(const Item& item, std::string_view text) const {
  std::vector<std::int64_t> symbols;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t length = std::min(longest_, text.size() - at);
    auto found = index_.end();
    for (; length > 0 && found == index_.end(); --length) found = index_.find(text.substr(at, length));
    if (found == index_.end()) {
      std::size_t end = at + 1;
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0u) == 0x80u) ++end; // a whole UTF-8 character
      refuse(item, text, fmt::format("has '{}', which is not in the vocabulary", text.substr(at, end - at)));
    }
    symbols.push_back(found->second);
    at += found->first.size();
  }
  return symbols;
}

torch::Tensor Targets::of(const Item& item) const {
  const std::string_view label = item.column("label");
  switch (kind_) {
    case TargetKind::one_class:
      return torch::tensor(class_of(item, trimmed(label)), torch::kLong);
    case TargetKind::some_classes: {
      torch::Tensor hot = torch::zeros({classes()});
      for (const std::string_view part : split_trimmed(label, ';')) hot.mutable_data_ptr<float>()[class_of(item, part)] = 1;
      return hot;
    }
    case TargetKind::numbers: {
      std::vector<float> numbers;
      for (const std::string_view part : split_trimmed(label, ';')) {
        float number = 0;
        if (!parse_number(part, number) || !std::isfinite(number))
          refuse(item, label, "is not a number, or numbers with ';' between");
        numbers.push_back(number);
      }
      if (numbers.empty()) refuse(item, label, "is empty: a number is needed");
      return torch::tensor(numbers);
    }
    case TargetKind::symbols:
      break;
  }
  return torch::tensor(symbols_of(item, label), torch::kLong);
}

torch::Tensor Targets::of(const Batch& batch, std::vector<std::int64_t>* lengths) const {
  std::vector<torch::Tensor> rows;
  for (const Item* item : batch.items) {
    rows.push_back(of(*item));
    if (lengths != nullptr) lengths->push_back(rows.back().dim() > 0 ? rows.back().size(0) : 1);
    if (kind_ == TargetKind::numbers && rows.back().size(0) != rows.front().size(0))
      refuse(*item, item->column("label"), fmt::format("has {} numbers, others {}", rows.back().size(0), rows.front().size(0)));
  }
  if (kind_ != TargetKind::symbols) return torch::stack(rows);
  std::int64_t longest = 1;
  for (const torch::Tensor& row : rows) longest = std::max(longest, row.size(0));
  torch::Tensor padded = torch::zeros({batch.size(), longest}, torch::kLong);
  for (std::size_t i = 0; i < rows.size(); ++i) padded[static_cast<std::int64_t>(i)].narrow(0, 0, rows[i].size(0)).copy_(rows[i]);
  return padded;
}

} // namespace mgpu
