#pragma once
// The identity of a run. Rows of two runs may be in one file only if all of it is equal.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/manifest/manifest.hpp"
#include "agent/manifest/shard.hpp"

namespace mgpu::agent::write {

/// Which share of a manifest a run does, and the whole of which it is a share.
struct ShardIdentity {
  manifest::Shard shard;
  std::uint64_t first = 0;         ///< the shard's row i is item first + i of the manifest
  std::uint64_t all_items = 0;     ///< of the whole manifest
  std::string all_manifest_sha256; ///< of the whole manifest
};

struct Identity {
  std::string job, version;
  std::string device_kind; ///< "cpu" or "cuda": their rounding differs
  std::uint32_t batch_size = 1;
  nlohmann::json options = nlohmann::json::object(); ///< options that change results
  std::string model;                                 ///< as given
  std::string model_state;                           ///< state_of(model), until its hash is known
  std::string model_sha256;                          ///< "": unknown
  std::uint64_t items = 0;                           ///< of the run: of a shard its own
  std::string manifest_sha256;                       ///< of the paths and columns of these items
  std::optional<ShardIdentity> shard;                ///< none: the run processes the whole manifest

  std::string json() const;
  static Identity parse(std::string_view json);
};

/// SHA-256 of all paths and columns of a manifest, its columns in the order of their names.
std::string sha256_of(const manifest::Manifest& manifest);

/// One line per difference between two runs: "--mean: 0.5 then, 0.4 now". Empty: rows of both may be in one file. The two
/// words name the runs.
std::vector<std::string> differences(const Identity& then, const Identity& now, std::string_view then_word = "then",
                                     std::string_view now_word = "now");

} // namespace mgpu::agent::write
