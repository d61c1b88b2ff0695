#pragma once
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace mgpu::worker {

/// The folder that make_models.py filled; CTest's fixture sets it.
inline std::string models_folder() {
  const char* folder = std::getenv("MGPU_TEST_MODELS");
  if (folder == nullptr)
    throw std::runtime_error("set MGPU_TEST_MODELS to a folder filled by tests/worker/model/make_models.py (ctest does)");
  return folder;
}

} // namespace mgpu::worker
