#pragma once
// The result file (schema mgpu/1, docs/output_file.md), written during the run.
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
  /// The identity of the run, stored in the file.
  std::optional<Identity> identity = std::nullopt;
  bool by_items = true; ///< --resume can continue item by item; a training resumes from checkpoints instead
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
  std::string model_sha256; ///< hashed during the run
  bool complete = true;
  std::vector<RankRow> ranks;
  std::vector<GpuTelemetry> telemetry; ///< without rows: the file gets no /telemetry
  std::vector<Series> training;        ///< empty: the file gets no /training
};

/// The results of earlier runs.
struct Earlier {
  std::vector<bool> batches;                       ///< by batch: all items are done
  std::uint64_t done = 0, failed = 0, flagged = 0; ///< items
  std::uint64_t mistrusted = 0;                    ///< items whose rows do not match the journal: they are processed again
  std::uint64_t damaged_bytes = 0;                 ///< of the journal
  std::string set_aside;                           ///< name under which files of another run are kept until this run is complete
  std::int32_t resumes = 0;                        ///< number of resumes, including this one
};

/// What to do with existing files.
enum class Existing : std::uint8_t {
  refuse,
  overwrite, ///< replace them
  resume,    ///< continue them; waits for an earlier run that is just ending
};

/// Not thread-safe; the Writer's thread owns it during a run.
///
/// PATH.journal is authoritative: it has all of every batch except the rows of fixed columns, and their CRC. Those rows are
/// written to their place in PATH.partial, where every fixed dataset is allocated contiguously at once and the metadata is
/// written once, so a killed run leaves a readable file with complete = 0. finish() puts ragged and text columns and the reasons
/// of failures into the manifest's order.
class ResultFile {
 public:
  using Lock = std::shared_ptr<OutputLock>;
  /// Throws usage_error if `path` exists and may not be replaced, its folder is missing or not writable, or another run is
  /// writing it. The returned lock excludes other runs from the output and all files beside it; create() and resume() take the
  /// lock themselves without one.
  static Lock check(const std::string& path, Existing existing);
  /// Compares the run of a complete file, from its attribute `identity`, with the run that --resume requests, whose batch size
  /// may be 0 for any. Throws usage_error, one line per difference, or if `kept` is not an identity.
  static void require_same_run(const std::string& path, const std::string& kept, Identity now);
  /// As require_same_run, but device and version must be equal, too: one file gets rows of both runs.
  static void require_same_run_exactly(const std::string& path, const std::string& kept, const Identity& now);
  static std::unique_ptr<ResultFile> create(const std::string& path, const manifest::Manifest& manifest, const Header& header,
                                            Lock lock = nullptr);
  /// Continues earlier runs; nullptr if they left nothing. `verify`: compares the rows of all batches with the journal, not only
  /// those that may not have reached the disk. Throws usage_error, one line per difference, if it was another run.
  static std::unique_ptr<ResultFile> resume(const std::string& path, const Header& header, bool verify = false,
                                            const OnReading& on_reading = {}, Lock lock = nullptr);
  /// As resume(), but batches with a failed row are processed again, also those of a complete file, which is kept until the new
  /// one replaces it; in a complete file this also applies to rows that differ from what their worker sent. nullptr: nothing was
  /// done before.
  static std::unique_ptr<ResultFile> retry(const std::string& path, const manifest::Manifest& manifest, const Header& header,
                                           bool verify = false, const OnReading& on_reading = {}, Lock lock = nullptr);
  /// Removes the files of a run that ended before any result, and restores the names of the run that it replaced.
  static void discard(const std::string& path) noexcept;
  /// Removes files that a run, a `recover` or a `merge`, killed in its last steps, left beside a complete file.
  static void tidy(const std::string& path) noexcept;
  virtual ~ResultFile() = default;

  /// The results of earlier runs; empty for a new file.
  virtual Earlier earlier() const { return {}; }
  /// The output columns; once, before the first put with columns.
  virtual void set_columns(const std::vector<ColumnSpec>& columns) = 0;
  /// The model's hash, as soon as it is known.
  virtual void set_model_sha256(const std::string& /*sha256*/) {}
  /// Stores the rows of one batch, or of a part of it, from `rank`; the latest result of an item counts. With an `owner`, which
  /// keeps the bytes valid, small rows are not copied but held until they are written together, at the latest at the next
  /// commit().
  virtual void put(const wire::BatchResult& result, std::int32_t rank, const std::shared_ptr<void>& owner = nullptr) = 0;
  /// Group commit: brings rows to the disk (fdatasync) before the journal frames that refer to them, then the journal. Throws
  /// Error when the disk is full.
  virtual void commit() = 0;
  /// Fills rows that are not ok, writes ragged columns, errors, /ranks and attributes; fsync, rename to PATH, fsync of the
  /// folder. A file that is not complete keeps its journal, so that resume() can continue it.
  virtual void finish(const Footer& footer) = 0;
};

} // namespace mgpu::agent::write
