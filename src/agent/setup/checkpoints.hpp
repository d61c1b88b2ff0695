#pragma once
// The checkpoints of a training as rank 0 sees them: FOLDER/step-00000123/ with one part per rank, written by the workers, and
// checkpoint.json, written last, by rank 0. A checkpoint without it is incomplete and is ignored.
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

/// A complete checkpoint.
struct Checkpoint {
  std::string folder;
  std::uint64_t step = 0;
  nlohmann::json json; ///< checkpoint.json
};

class Checkpoints {
 public:
  /// `keep`: number of newest complete checkpoints to keep, besides the one of the best validation; 0: all.
  Checkpoints(std::string folder, std::size_t keep, int world_size)
      : folder_(std::move(folder)), keep_(keep), world_size_(static_cast<std::size_t>(world_size)) {}

  /// The newest complete checkpoint in `folder`; nullopt where there is none. Throws usage_error in one line when it cannot be
  /// used: a part is missing or truncated, the file is damaged or of a newer version.
  static std::optional<Checkpoint> newest(const std::string& folder);
  /// True when `folder` holds a complete or incomplete checkpoint.
  static bool any(const std::string& folder);

  /// Makes the folder. Removes incomplete checkpoints (of a killed run) and those after `step` (of an earlier training).
  void begin(std::uint64_t step);
  /// A rank has written its part to the disk.
  void saved(int rank, wire::Saved saved);
  /// Steps with the parts of all ranks, oldest first.
  std::vector<std::uint64_t> ready() const;
  /// Writes checkpoint.json of step `step`, which is ready(): `more`, the facts of rank 0's worker, and the parts; then removes
  /// older checkpoints. Returns the folder.
  std::string complete(std::uint64_t step, nlohmann::json more);

 private:
  void prune(std::uint64_t best_step) const;
  std::string folder_;
  std::size_t keep_, world_size_;
  std::map<std::uint64_t, std::map<int, wire::Saved>> parts_; ///< by step and rank
};

} // namespace mgpu::agent
