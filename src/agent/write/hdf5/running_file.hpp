#pragma once
// The ResultFile of a run: created, filled and finished here; resumed from its journal.
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/write/hdf5/assemble.hpp"
#include "agent/write/hdf5/item_table.hpp"
#include "agent/write/hdf5/raw_file.hpp"
#include "agent/write/hdf5/result_file.hpp"
#include "agent/write/journal/journal.hpp"

namespace mgpu::agent::write {

class ReadFile;
class RowBlock;

/// The paths of a run's files.
struct Places {
  explicit Places(const std::string& path)
      : output(path),
        partial(path + ".partial"),
        journal(Journal::path_of(path)),
        recovering(path + ".recovering"),
        merging(path + ".merging") {}
  std::string output, partial, journal;
  std::string old_partial() const { return partial + ".old"; } ///< of the previous run, kept by --overwrite
  std::string old_journal() const { return journal + ".old"; }
  std::string recovering; ///< the file that `recover` makes, before it is renamed to the output
  std::string merging;    ///< the file that `merge` makes, before it is renamed to the output
};

class RunningFile final : public ResultFile {
 public:
  /// Creates a new file.
  RunningFile(Places places, const manifest::Manifest& manifest, const Header& header, Lock lock);
  void say_set_aside(std::string name) { set_aside_ = std::move(name); }
  /// Reads the journal of the run with this identity, into memory only; go_on() or recover() must follow. It remembers which
  /// batches must be compared with their rows: those that may not have reached the disk, or all. `on_reading` may be empty.
  RunningFile(Places places, std::unique_ptr<Journal> journal, Identity identity, bool verify_all, OnReading on_reading,
              Lock lock);

  /// The run of the journal, with the model's hash if it is known.
  const Identity& identity() const { return identity_; }
  /// The journal has results.
  bool has_batches() const { return has_batches_; }
  /// Restores the result file to the state of the journal, and drops items of incomplete batches. Throws usage_error when the
  /// result file is missing or belongs to another run.
  void go_on(const Header& header);
  /// Takes over the batches of a complete file of the same run whose rows are all ok and as sent; the others are to be processed.
  void take_good_batches(const ReadFile& old, const OnReading& on_reading);
  /// Marks batches with a failed row as pending, also in the journal.
  void forget_failed();
  /// Makes a readable file of the existing results; does not change the journal or its result file. Returns what was found.
  Earlier recover(const Footer& footer);

  Earlier earlier() const override;
  void set_columns(const std::vector<ColumnSpec>& columns) override;
  void set_model_sha256(const std::string& sha256) override;
  void put(const wire::BatchResult& result, std::int32_t rank, const std::shared_ptr<void>& owner) override;
  void commit() override;
  void finish(const Footer& footer) override;

 private:
  struct Fixed {
    std::uint32_t column = 0;
    std::uint64_t offset = 0, row_bytes = 0;
  };

  // running_file.cpp
  void begin_file(const manifest::Manifest& manifest, const Header& header);
  void use_columns(const std::vector<ColumnSpec>& columns);
  void check_fits(const wire::BatchResult& result, std::int32_t rank);
  void note(const wire::BatchResult& rest, std::int32_t rank, std::uint64_t offset);
  void estimate_needs();
  std::string run_name() const;

  // finish.cpp
  void fill_rows_not_ok();
  void fill_run(const Fixed& column, std::uint64_t first, std::uint64_t end);
  /// Throws Error when another run may have the lock, or has replaced this run's files.
  void require_ours() const;
  void assemble_all(const Footer& footer);
  void write_all(const Footer& footer);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> beside_fixed_rows() const;
  /// Saves in the journal, on the disk, everything in the result file that HDF5 may change.
  void save_undo();
  void settle();

  // retry.cpp
  std::uint64_t take_batches(const ReadFile& old, const std::vector<ColumnSpec>& columns, std::uint64_t first,
                             std::uint64_t count);
  void put_rows(const RowBlock& block, std::size_t begin, std::size_t end);

  // resume.cpp
  void replay();
  void replay_columns(const Frame& frame);
  void replay_batch(const Frame& frame);
  void replay_forgotten(const Frame& frame);
  void undo_change(RawFile& file) const;
  void take_back_output();
  void open_partial();
  /// Drops batches whose rows do not match the journal; `for_good`: in the journal, too.
  void verify(bool for_good);
  bool rows_are_good(const wire::BatchResult& rest) const;
  void forget(std::uint64_t first, std::uint64_t rows);
  void forget_for_good(std::uint64_t first, std::uint64_t rows);
  std::uint64_t batch_rows() const;
  void forget_torn_batches();

  Lock lock_;
  std::string set_aside_;
  Places places_;
  std::unique_ptr<Journal> journal_;
  Identity identity_;
  bool can_resume_;
  ItemTable items_;
  RecordIndex index_;
  std::unique_ptr<RawFile> file_;
  std::unique_ptr<RowStage> stage_;
  std::vector<ColumnSpec> columns_;
  std::vector<Fixed> fixed_;
  std::vector<RaggedCounts> ragged_;
  std::uint64_t fixed_bytes_ = 0;   ///< of all fixed columns
  std::uint64_t spooled_bytes_ = 0; ///< of ragged and text rows and reasons in the journal
  std::vector<bool> seen_;          ///< scratch of check_fits
  std::int32_t world_size_ = 1, resumes_ = 0;
  bool has_columns_ = false, has_batches_ = false, name_synced_ = false, changed_ = true;

  // Read from the journal of earlier runs.
  bool earlier_ = false, verify_all_ = false;
  OnReading on_reading_;
  std::uint64_t journal_end_ = 0, mistrusted_ = 0;
  std::vector<std::uint64_t> unverified_;    ///< frames of batches whose rows must be compared
  std::vector<std::uint64_t> undo_;          ///< undo frames of a change of the result file that may be incomplete
  std::optional<std::uint64_t> size_before_; ///< of the result file; nullopt: no change is incomplete
};

/// Takes the lock of an output. Throws usage_error when another run has it; waits up to `limit` for one that is just ending.
ResultFile::Lock take_lock(const std::string& path, std::chrono::seconds limit);
/// Whether the files beside the output are those of a run without results.
bool nothing_begun(const Places& places);

/// Runs `work`; adds the needed space to HDF5's error about a full disk.
template <typename Work>
void with_needs(const std::string& path, std::uint64_t needed_bytes, Work work) {
  try {
    work();
  } catch (const Error& error) {
    if (error.code() != ExitCode::stopped || !error.call.starts_with("H5")) throw;
    throw file_error(path, error.call.c_str(), ENOSPC, needed_bytes);
  }
}

/// Throws Error before anything is allocated when `more` bytes do not fit.
void require_room(const RawFile& file, std::uint64_t more);

/// Unlinks `path`, also a link; it may be missing. Throws usage_error.
void remove_old(const std::string& path);

} // namespace mgpu::agent::write
