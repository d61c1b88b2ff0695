#pragma once
// OUTPUT.training: the curves of a training during the run. Records of a fixed size, appended, each with a CRC, so that a killed
// run still has its curves up to its last checkpoint and can continue them.
#include <cstdint>
#include <string>
#include <vector>

#include "agent/write/hdf5/raw_file.hpp"
#include "agent/write/hdf5/series.hpp"
#include "common/wire/training_messages.hpp"

namespace mgpu::agent::write {

class History {
 public:
  static std::string path_of(const std::string& output) { return output + ".training"; }
  /// Creates the file; replaces an existing one.
  static History create(const std::string& path);
  /// Continues the file at `path` (or creates it), keeping steps up to `step` and the first `validations` validations.
  static History resume(const std::string& path, std::uint64_t step, std::uint64_t validations);

  void add(const wire::Step& step);
  void add(const wire::Metrics& metrics);
  /// Brings everything added to the disk.
  void sync();

  std::uint64_t steps() const { return steps_; }
  /// Number of validations up to and including `step`.
  std::uint64_t validations(std::uint64_t step) const;
  /// The last step; 0 before the first.
  std::uint64_t last_step() const { return last_step_; }

  /// The content of /training: step, epoch, loss, lr, samples_per_s, samples, skipped, micro_batch, accumulation, grad_norm,
  /// loss_scale, updated; per validation validation_step, validation_epoch, validation_best and validation_NAME. Read from the
  /// file.
  std::vector<Series> series() const;

 private:
  struct Record;
  explicit History(const std::string& path, RawFile::Mode mode) : file_(std::make_unique<RawFile>(path, mode)) {}
  static std::vector<Record> read(const RawFile& file);
  void append(Record record);
  void count(const Record& record);

  std::unique_ptr<RawFile> file_;
  std::uint64_t end_ = 0, steps_ = 0, last_step_ = 0;
  std::vector<std::uint64_t> validated_; ///< steps after which there was a validation
};

} // namespace mgpu::agent::write
