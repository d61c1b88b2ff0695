#pragma once
// The identity of a run. Rows of two runs may be in one file only if all of it is equal.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/manifest/manifest.hpp"

namespace mgpu::agent::write {

struct Identity {
  std::string job, version;
  std::string device_kind; ///< "cpu" or "cuda": their rounding differs
  std::uint32_t batch_size = 1;
  nlohmann::json options = nlohmann::json::object(); ///< options that change results
  std::string model;                                 ///< as given
  std::string model_state;                           ///< state_of(model), until its hash is known
  std::string model_sha256;                          ///< "": unknown
  std::uint64_t items = 0;
  std::string manifest_sha256; ///< of the paths and columns of all items

  std::string json() const;
  static Identity parse(std::string_view json);
};

/// SHA-256 of all paths and columns of a manifest, its columns in the order of their names.
std::string sha256_of(const manifest::Manifest& manifest);

/// One line per difference between two runs: "--mean: 0.5 then, 0.4 now". Empty: rows of both may be in one file.
std::vector<std::string> differences(const Identity& then, const Identity& now);

} // namespace mgpu::agent::write
