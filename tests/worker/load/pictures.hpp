#pragma once
#include <string>

#include "mgpu/picture.hpp"
#include "worker/load/references.hpp"

namespace mgpu::test {

/// A picture of resize_references.py.
inline Picture picture_of(const std::string& name) {
  const Npy<std::uint8_t> npy(references() + name);
  return {static_cast<int>(npy.shape.at(0)), static_cast<int>(npy.shape.at(1)), static_cast<int>(npy.shape.at(2)), npy.values};
}

} // namespace mgpu::test
