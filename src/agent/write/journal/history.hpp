#pragma once
// OUTPUT.training: the curves of a training while it goes on. Records of one size, appended, each with a CRC, so that a run that was
// killed has its curves up to its last checkpoint and goes on from there.
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
  /// Begins anew; whatever is at `path` is replaced.
  static History create(const std::string& path);
  /// Continues the file at `path` (none: makes one), keeping steps up to `step` and the first `validations` validations.
  static History resume(const std::string& path, std::uint64_t step, std::uint64_t validations);

  void add(const wire::Step& step);
  void add(const wire::Metrics& metrics);
  /// Everything added is on the disk.
  void sync();

  std::uint64_t steps() const { return steps_; }
  /// Validations done up to and with `step`.
  std::uint64_t validations(std::uint64_t step) const;
  /// The last step; 0 before the first.
  std::uint64_t last_step() const { return last_step_; }

  /// What /training holds: step, epoch, loss, lr, samples_per_s, samples, skipped, grad_norm, loss_scale, updated; of each validation
  /// validation_step, validation_epoch, validation_best and validation_NAME. Read from the file.
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
