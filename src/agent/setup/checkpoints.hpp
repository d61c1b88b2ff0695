#pragma once
// The checkpoints of a training as rank 0 sees them: FOLDER/step-00000123/ with a part a rank, written by the workers, and checkpoint.json,
// written last, by rank 0: that makes it whole. What is not whole does not count.
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/wire/training_messages.hpp"

namespace mgpu::agent {

/// A whole checkpoint.
struct Checkpoint {
  std::string folder;
  std::uint64_t step = 0;
  nlohmann::json json; ///< checkpoint.json
};

class Checkpoints {
 public:
  /// `keep`: how many whole ones stay, the newest, and with them the one of the best validation; 0: all.
  Checkpoints(std::string folder, std::size_t keep, int world_size)
      : folder_(std::move(folder)), keep_(keep), world_size_(static_cast<std::size_t>(world_size)) {}

  /// The newest whole checkpoint in `folder`; nullopt where there is none. Throws usage_error in one line when that one cannot be used:
  /// a part is missing or shorter than it was, the file is damaged or of a newer version.
  static std::optional<Checkpoint> newest(const std::string& folder);
  /// True when `folder` holds a whole checkpoint or pieces of one.
  static bool any(const std::string& folder);

  /// Makes the folder and removes what stands there behind `step`, whole or not: pieces that a kill left, or a former training.
  void begin(std::uint64_t step);
  /// A rank's part is on its disk.
  void saved(int rank, wire::Saved saved);
  /// Steps whose parts are all there, oldest first.
  std::vector<std::uint64_t> ready() const;
  /// Writes checkpoint.json of step `step`, which is ready(): `more`, what rank 0's worker said, and the parts; then removes older ones.
  /// Returns its folder.
  std::string complete(std::uint64_t step, nlohmann::json more);

 private:
  void prune(std::uint64_t best_step) const;
  std::string folder_;
  std::size_t keep_, world_size_;
  std::map<std::uint64_t, std::map<int, wire::Saved>> parts_; ///< by step and rank
};

} // namespace mgpu::agent
