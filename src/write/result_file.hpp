#pragma once
// The one result file (schema mgpu/1, docs/output_file.md), written while the run goes on.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "manifest/manifest.hpp"
#include "mgpu/columns.hpp"
#include "wire/batch_result.hpp"
#include "write/series.hpp"

namespace mgpu::write {

/// Root attributes known at the start.
struct Header {
  std::string job, command, config_json, version, model, model_sha256, started;
  std::int32_t world_size = 1;
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

struct Footer {
  std::string finished;     ///< ISO 8601 UTC
  std::string model_sha256; ///< hashed while the run went on
  bool complete = true;
  std::vector<RankRow> ranks;
  std::vector<Series> training; ///< empty: the file gets no /training
};

/// Not thread-safe; the Writer thread owns it while a run goes on.
///
/// While running, the file is PATH.partial: every fixed dataset is allocated contiguously at once, its metadata is written once
/// and rows go to their place with pwrite, so a killed run leaves a readable file with complete = 0. Ragged and text columns and
/// the reasons of failures go to PATH.spool (appended, in order of arrival) and are put in manifest order by finish().
class ResultFile {
 public:
  /// Throws usage_error if `path` exists (unless `overwrite`), or its folder is missing or not writable.
  static void check(const std::string& path, bool overwrite);
  static std::unique_ptr<ResultFile> create(const std::string& path, const manifest::Manifest& manifest, const Header& header);
  /// Removes PATH.partial and PATH.spool of a run that ended before it had any result.
  static void discard(const std::string& path) noexcept;
  virtual ~ResultFile() = default;

  /// The output columns; once, before the first put with columns.
  virtual void set_columns(const std::vector<ColumnSpec>& columns) = 0;
  /// Stores one batch that `rank` did; of an item's results the latest stays. With an `owner`, who keeps the result's bytes alive,
  /// small rows are not copied but held until they are written together, at the next commit() at the latest.
  virtual void put(const wire::BatchResult& result, std::int32_t rank, const std::shared_ptr<void>& owner = nullptr) = 0;
  /// Group commit: rows are on the disk (fdatasync) before the statuses that speak of them. Throws Error when the disk is full.
  virtual void commit() = 0;
  /// Fills rows not ok, writes ragged columns, errors, /ranks and attributes; fsync, rename to PATH, fsync of the folder.
  virtual void finish(const Footer& footer) = 0;
};

} // namespace mgpu::write
