#pragma once
// Rows of a result that failed by reading or memory: another rank may be able to process them.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/wire/batch_result.hpp"

namespace mgpu::agent::items {

/// Rows [begin, end) of a result; `failed` of them failed by reading or memory, those between them did not.
struct Unreadable {
  std::uint32_t begin = 0, end = 0, failed = 0;
};

/// In order, at most `most` ranges: the nearest are joined. Each is a lease of its own, with all items of its batch.
std::vector<Unreadable> unreadable_rows(const wire::BatchResult& result, std::size_t most);

} // namespace mgpu::agent::items
