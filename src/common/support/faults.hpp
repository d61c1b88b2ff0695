#pragma once
// Fault injection, for tests and for users: --fault 'segv:item=9; kill:rank=2,batch=17; oom:batch=3; nan:step=5'.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mgpu {

/// The faults of --fault for one rank. Each fault is KIND:key=value,…
///
/// Kinds: kill, segv, abort, hang (the worker ends like this, or stops), oom (memory runs out), nan (a result or loss is NaN),
/// gpu-lost (permanent failure of the device), io (files cannot be read; all files if no item is named), enospc (rank 0's disk is
/// full). Where: rank (default: every rank); item (while it is prepared), batch (before it runs) or step (of a training, counted
/// from 1). A fault without any of the three occurs in every batch or step.
/// How often: oom: above=ROWS (only for more rows than this, every time; without it once per worker); times=N (only in the first
/// N tries of an item or batch); enospc: after=BYTES written (with kB, MB or GB).
class Faults {
 public:
  Faults() = default;
  /// `rank` -1: faults of all ranks, to check the text. Throws usage_error.
  Faults(const std::string& text, int rank);

  bool any(const char* kind) const;
  /// Before an item is prepared for the `attempt`th time. Does not return if the worker must end; throws std::bad_alloc for oom.
  void before_item(std::uint64_t item, std::uint32_t attempt) const;
  /// Before a batch runs; as before_item. For gpu-lost throws the error of a lost device.
  void before_batch(std::uint64_t batch, std::uint32_t attempt) const;
  /// Before a step of a training computes; `attempt`: 1 + restarts of the training.
  void before_step(std::uint64_t step, std::uint32_t attempt) const;
  /// Before `rows` rows of a batch, or of a step, go through the network: throws std::bad_alloc for oom.
  void before_rows_of_batch(std::uint64_t batch, std::int64_t rows);
  void before_rows_of_step(std::uint64_t step, std::int64_t rows);
  /// True when this item's results, or this step's loss, must be NaN.
  bool spoils_item(std::uint64_t item) const;
  bool spoils_step(std::uint64_t step) const;
  /// Bytes after which the disk must be full.
  std::optional<std::uint64_t> disk_full_after() const;

 private:
  struct Fault {
    std::string kind;
    std::int64_t rank = -1, item = -1, batch = -1, step = -1, above = -1, times = -1, after = -1;
    bool spent = false;

    bool in_time(std::uint32_t attempt) const { return times < 0 || attempt <= times; }
    bool everywhere() const { return item < 0 && batch < 0 && step < 0; }
  };
  void run_out(std::int64_t Fault::*where, std::uint64_t at, std::int64_t rows);
  bool spoils(std::int64_t Fault::*where, std::uint64_t at) const;

  std::vector<Fault> faults_; ///< of this rank
};

} // namespace mgpu
