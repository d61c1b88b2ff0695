#pragma once
// Messages of an item run: granted batches. The results are a BatchResult (batch_result.hpp).
#include <cstdint>
#include <vector>

#include "common/wire/message.hpp"
#include "mgpu/item.hpp"

namespace mgpu::wire {

struct BatchRange {
  std::uint64_t batch = 0;
  std::uint64_t first = 0; ///< first item
  std::uint32_t attempt = 1;
  std::uint32_t epoch = 0; ///< training: which pass over the data, from 0
  /// Rows to process; 0: all. The others are zeros that keep the batch's shape, so that results do not depend on how it was cut.
  std::uint32_t wanted_begin = 0, wanted_rows = 0;
  std::vector<Item> items; ///< consecutive rows of the manifest, from `first`

  bool wanted(std::size_t row) const { return wanted_rows == 0 || row - wanted_begin < wanted_rows; }
};

struct Grant {
  std::vector<BatchRange> batches;
};

} // namespace mgpu::wire
