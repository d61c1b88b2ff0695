#pragma once
// What run a journal belongs to. Rows of two runs may stand in one file only where all of this is the same.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/manifest/manifest.hpp"

namespace mgpu::agent::write {

struct Identity {
  std::string job, version;
  std::string device_kind; ///< "cpu" or "cuda": they round differently
  std::uint32_t batch_size = 1;
  nlohmann::json options = nlohmann::json::object(); ///< those that change results
  std::string model;                                 ///< as given
  std::string model_state;                           ///< state_of(model), for as long as its hash is not known
  std::string model_sha256;                          ///< "": not known (yet)
  std::uint64_t items = 0;
  std::string manifest_sha256; ///< of the paths and columns of all items

  std::string json() const;
  static Identity parse(std::string_view json);
};

/// SHA-256 over everything that a manifest says of its items; its columns in the order of their names.
std::string sha256_of(const manifest::Manifest& manifest);

/// One line for each thing in which two runs differ: "--mean: 0.5 then, 0.4 now". Empty: rows of both may stand in one file.
std::vector<std::string> differences(const Identity& then, const Identity& now);

} // namespace mgpu::agent::write
