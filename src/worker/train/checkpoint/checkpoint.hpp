#pragma once
// Checkpoints of a training: parts are written by a background thread, and read on any number of ranks.
#include <functional>
#include <string>
#include <thread>

#include "common/wire/training_messages.hpp"
#include "worker/train/checkpoint/part_file.hpp"

namespace mgpu::worker::train {

/// Writes one part at a time on its own thread. Used by one thread.
class CheckpointWriter {
 public:
  /// `said` receives the result of each part, from the writing thread.
  explicit CheckpointWriter(std::function<void(const wire::Saved&)> said) : said_(std::move(said)) {}
  ~CheckpointWriter() { wait(); }

  /// Starts to write `part` to FOLDER/step-…/; waits for the previous one. `meta_json`: for rank 0's Saved.
  void write(const std::string& folder, Part part, std::uint32_t epoch, std::string meta_json);
  void wait();

 private:
  std::function<void(const wire::Saved&)> said_;
  std::thread thread_;
};

/// "step-00000123"
std::string step_folder(std::uint64_t step);

/// A rank's state from the parts of a checkpoint, which may have another number of ranks.
struct Restored {
  nlohmann::json state;
  std::vector<std::vector<float>> arrays; ///< for `wanted`: parameters, then states
  std::vector<NamedTensor> tensors; ///< with the same number of ranks its own; else floating-point ones are the mean of the parts
};
/// Throws usage_error in one line when a part is missing, damaged or of another network (`elements` differ).
Restored restore(const std::string& folder, int rank, int world_size, std::size_t elements,
                 const std::vector<collective::Slice>& wanted);
/// The trainer's state alone, from the first part.
nlohmann::json restore_state(const std::string& folder);

} // namespace mgpu::worker::train
