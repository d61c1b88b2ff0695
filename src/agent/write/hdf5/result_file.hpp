#pragma once
// The one result file (schema mgpu/1, docs/output_file.md), written while the run goes on.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/manifest/manifest.hpp"
#include "agent/write/hdf5/series.hpp"
#include "agent/write/journal/identity.hpp"
#include "agent/write/journal/output_lock.hpp"
#include "common/support/reading.hpp"
#include "common/wire/batch_result.hpp"
#include "mgpu/columns.hpp"

namespace mgpu::agent::write {

/// Root attributes known at the start.
struct Header {
  std::string job, command, config_json, version, model, model_sha256, started;
  std::int32_t world_size = 1;
  /// What run it is. The file keeps it.
  std::optional<Identity> identity = std::nullopt;
  bool by_items = true; ///< --resume can go on with it, item by item; a training has checkpoints of its own
};

/// One row of /ranks.
struct RankRow {
  std::int32_t rank = 0;
  std::string host, device, uuid;
  std::uint64_t items = 0, failed = 0, batches = 0;
  double busy_s = 0, load_wait_s = 0, write_wait_s = 0, grant_wait_s = 0, load_s = 0, wall_s = 0, open_s = 0;
  double forward_s = 0, backward_s = 0, reduce_wait_s = 0, update_s = 0; ///< training: the parts of busy_s
  std::uint64_t memory_bytes = 0;
};

/// One row of /telemetry: what a GPU showed. NaN and -1: unknown.
struct TelemetryRow {
  double time_s = 0; ///< since the start of the run
  float temperature_c = 0, utilization_percent = 0, power_w = 0, sm_clock_mhz = 0;
  std::int64_t memory_used_bytes = -1, memory_total_bytes = -1;
  std::int64_t throttle_reasons = -1, uncorrected_ecc = -1;
  std::int8_t remap_pending = -1, remap_failed = -1;
  std::uint8_t state = 0; ///< wire::GpuState
  std::uint32_t xid = 0;  ///< 0: none
};

struct GpuTelemetry {
  std::int32_t rank = 0;
  std::string uuid;
  std::vector<TelemetryRow> rows; ///< in the order of time
};

struct Footer {
  std::string finished;     ///< ISO 8601 UTC
  std::string model_sha256; ///< hashed while the run went on
  bool complete = true;
  std::vector<RankRow> ranks;
  std::vector<GpuTelemetry> telemetry; ///< without rows: the file gets no /telemetry
  std::vector<Series> training;        ///< empty: the file gets no /training
};

/// What earlier runs left behind.
struct Earlier {
  std::vector<bool> batches;                       ///< by batch: all its items are done
  std::uint64_t done = 0, failed = 0, flagged = 0; ///< items
  std::uint64_t mistrusted = 0;                    ///< items whose rows are not those the journal speaks of: they are done again
  std::uint64_t damaged_bytes = 0;                 ///< of the journal
  std::string set_aside;    ///< what was found instead, and is kept under this name until the run is complete
  std::int32_t resumes = 0; ///< how often the run was gone on with, this time counted
};

/// Which files may be in the way of a new run.
enum class Existing : std::uint8_t {
  refuse,
  overwrite, ///< they are replaced
  resume,    ///< they are gone on with; an earlier run that is just ending is waited for
};

/// Not thread-safe; the Writer thread owns it while a run goes on.
///
/// PATH.journal is the truth: of every batch it holds all but the rows of fixed columns, and their CRC. Those rows go straight to their
/// place in PATH.partial, where every fixed dataset is allocated contiguously at once and the metadata is written once, so a killed run
/// leaves a readable file with complete = 0. Ragged and text columns and the reasons of failures are put in manifest order by finish().
class ResultFile {
 public:
  using Lock = std::shared_ptr<OutputLock>;
  /// Throws usage_error if anything at `path` is in the way, its folder is missing or not writable, or another run is writing it. The lock
  /// that it returns keeps other runs away from the output and all files beside it; create() and resume() take it themselves without one.
  static Lock check(const std::string& path, Existing existing);
  /// Compares a complete file's run, as its attribute `identity` has it, with the one that --resume asks for, whose batch size may be 0
  /// for any. Throws usage_error, one line a difference, or where `kept` is no identity.
  static void require_same_run(const std::string& path, const std::string& kept, Identity now);
  /// As require_same_run, but where it was made and by which version count, too: rows of both shall stand in one file.
  static void require_same_run_exactly(const std::string& path, const std::string& kept, const Identity& now);
  static std::unique_ptr<ResultFile> create(const std::string& path, const manifest::Manifest& manifest, const Header& header,
                                            Lock lock = nullptr);
  /// Goes on with what earlier runs left; nullptr if they left nothing. `verify`: the rows of all batches are compared with the journal,
  /// not only those of the last moments. Throws usage_error, one line a difference, where it was another run.
  static std::unique_ptr<ResultFile> resume(const std::string& path, const Header& header, bool verify = false,
                                            const OnReading& on_reading = {}, Lock lock = nullptr);
  /// As resume(), but batches with a failed row are to be done again, also those of a complete file, which stays as it is until the new one
  /// takes its place; there rows that are not what their worker sent are to be done again, too. nullptr: nothing was done before.
  static std::unique_ptr<ResultFile> retry(const std::string& path, const manifest::Manifest& manifest, const Header& header,
                                           bool verify = false, const OnReading& on_reading = {}, Lock lock = nullptr);
  /// Removes what a run wrote that ended before it had any result, and gives the run that it replaced its names back.
  static void discard(const std::string& path) noexcept;
  /// Removes what a run, or a `recover`, that was killed between its very last steps left beside a complete file.
  static void tidy(const std::string& path) noexcept;
  virtual ~ResultFile() = default;

  /// What was there before this run; of a new file nothing.
  virtual Earlier earlier() const { return {}; }
  /// The output columns; once, before the first put with columns.
  virtual void set_columns(const std::vector<ColumnSpec>& columns) = 0;
  /// The model's hash, as soon as it is known.
  virtual void set_model_sha256(const std::string& /*sha256*/) {}
  /// Stores one batch, or a part of one, that `rank` did; of an item's results the latest stays. With an `owner`, who keeps the result's
  /// bytes alive, small rows are not copied but held until they are written together, at the next commit() at the latest.
  virtual void put(const wire::BatchResult& result, std::int32_t rank, const std::shared_ptr<void>& owner = nullptr) = 0;
  /// Group commit: rows are on the disk (fdatasync) before the journal speaks of them, and then that is, too. Throws Error when the
  /// disk is full.
  virtual void commit() = 0;
  /// Fills rows not ok, writes ragged columns, errors, /ranks and attributes; fsync, rename to PATH, fsync of the folder. A file that is
  /// not complete keeps its journal, so that resume() can go on with it.
  virtual void finish(const Footer& footer) = 0;
};

} // namespace mgpu::agent::write
