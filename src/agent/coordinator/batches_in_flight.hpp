#pragma once
#include <cstdint>

#include "agent/comm/binding.hpp"

namespace mgpu::agent {

/// Batches that a worker may hold: those that keep its loaders busy, and `ahead` more: loaded, being run, being sent.
inline std::int32_t batches_in_flight(std::int32_t ahead, const comm::Binding& binding, std::int64_t batch_size) {
  return ahead + static_cast<std::int32_t>((binding.loaders + batch_size - 1) / batch_size);
}

} // namespace mgpu::agent
