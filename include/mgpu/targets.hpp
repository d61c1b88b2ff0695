#pragma once
#include "mgpu/tensor.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mgpu/bundle.hpp"
#include "mgpu/config.hpp"
#include "mgpu/work.hpp"

namespace mgpu {

/// Kind of target that a loss makes from an item's column "label".
enum class TargetKind : std::uint8_t {
  one_class,    ///< name or index of a class → int64 []
  some_classes, ///< names or indices separated by ';', possibly none → float32 [classes] of 0 and 1
  numbers,      ///< numbers separated by ';' → float32 [n]
  symbols,      ///< text in the bundle's CTC vocabulary, longest symbol first → int64 [n]
};

/// Converts labels to tensors.
class Targets {
 public:
  /// Classes are the option `classes`, else the bundle's labels. Symbols are the bundle's vocabulary. Throws usage_error if some_classes
  /// has no classes or symbols has no vocabulary.
  Targets(TargetKind kind, const Config& config, const Bundle& bundle);

  /// Number of classes; 0 if only indices can be used, and for other kinds.
  std::int64_t classes() const { return static_cast<std::int64_t>(names_.size()); }
  const std::vector<std::string>& names() const { return names_; }
  /// Target of one item, on the host. Throws usage_error "item 7 (a.png): label 'x' is …".
  torch::Tensor of(const Item& item) const;
  /// Targets of a batch, [B, …] on the host. Rows of symbols are padded with zeros to the longest (at least 1). If `lengths` is given,
  /// each row's own length is appended to it.
  torch::Tensor of(const Batch& batch, std::vector<std::int64_t>* lengths = nullptr) const;

 private:
  std::int64_t class_of(const Item& item, std::string_view word) const;
  std::vector<std::int64_t> symbols_of(const Item& item, std::string_view text) const;

  TargetKind kind_;
  std::vector<std::string> names_;
  std::map<std::string, std::int64_t, std::less<>> index_; ///< index of a class by name, or of a symbol by text
  std::size_t longest_ = 0;                                ///< length of the longest symbol, bytes
};

} // namespace mgpu
