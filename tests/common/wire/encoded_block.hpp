#pragma once
#include <cstdlib>
#include <memory>
#include <new>

#include "common/wire/batch_result.hpp"

namespace mgpu::wire {

/// An encoded result with its own memory.
struct Block {
  View bytes;
  std::shared_ptr<void> owner;
};

inline Block make_block(const BatchResult& result) {
  const std::size_t size = encoded_size(result);
  auto* bytes = static_cast<std::byte*>(std::aligned_alloc(block_alignment, size));
  if (bytes == nullptr) throw std::bad_alloc();
  const std::shared_ptr<void> owner(bytes, [](void* pointer) { std::free(pointer); });
  encode(result, bytes);
  return {{bytes, size}, owner};
}

} // namespace mgpu::wire
