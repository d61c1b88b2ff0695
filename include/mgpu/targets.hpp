#pragma once
#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mgpu/bundle.hpp"
#include "mgpu/config.hpp"
#include "mgpu/work.hpp"

namespace mgpu {

/// What a loss makes of an item's column "label".
enum class TargetKind : std::uint8_t {
  one_class,    ///< a class's name or index → int64 []
  some_classes, ///< names or indices with ';' between, perhaps none → float32 [classes] of 0 and 1
  numbers,      ///< numbers with ';' between → float32 [n]
  symbols,      ///< text in the bundle's CTC vocabulary, longest symbol first → int64 [n]
};

/// Turns labels into tensors.
class Targets {
 public:
  /// Classes are the option `classes`, else the bundle's labels; symbols the bundle's vocabulary. Throws usage_error where they are needed
  /// and missing.
  Targets(TargetKind kind, const Config& config, const Bundle& bundle);

  /// Classes; 0 when only indices can be used, and for other kinds.
  std::int64_t classes() const { return static_cast<std::int64_t>(names_.size()); }
  const std::vector<std::string>& names() const { return names_; }
  /// Target of one item, on the host. Throws usage_error "item 7 (a.png): label 'x' is …".
  torch::Tensor of(const Item& item) const;
  /// Targets of a batch, [B, …] on the host. Rows of symbols are padded with zeros to the longest (at least 1); `lengths`, if given, gets
  /// each row's own length.
  torch::Tensor of(const Batch& batch, std::vector<std::int64_t>* lengths = nullptr) const;

 private:
  std::int64_t class_of(const Item& item, std::string_view word) const;
  std::vector<std::int64_t> symbols_of(const Item& item, std::string_view text) const;

  TargetKind kind_;
  std::vector<std::string> names_;
  std::map<std::string, std::int64_t, std::less<>> index_; ///< of a class by name, or of a symbol
  std::size_t longest_ = 0;                                ///< bytes of the longest symbol
};

} // namespace mgpu
