#pragma once
// Faults on purpose, for tests and for users who rehearse: --fault 'oom:rank=1,step=3; nan:step=5; kill:step=7'.
#include <cstdint>
#include <string>
#include <vector>

namespace mgpu::train {

class Faults {
 public:
  /// Each fault is KIND:key=value,…; `rank` (default: every rank), `step` (counted from 1; default: every step), for oom `above` (only for more rows
  /// than this, every time; without it once). Kinds: oom, nan, kill, hang. Throws usage_error.
  Faults(const std::string& text, int rank);

  bool any(const char* kind) const;
  /// Before a forward of `rows` rows in `step`: throws c10::OutOfMemoryError, ends or stops the process, as told.
  void before_forward(std::uint64_t step, std::int64_t rows);
  /// True when the loss of this step shall be NaN.
  bool spoils_loss(std::uint64_t step) const;

 private:
  struct Fault {
    std::string kind;
    std::int64_t rank = -1, step = -1, above = -1;
    bool spent = false;
  };
  std::vector<Fault> faults_; ///< of this rank
};

} // namespace mgpu::train
