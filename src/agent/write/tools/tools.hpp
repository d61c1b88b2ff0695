#pragma once
// What users do with a result file without HDF5 tools. inspect and export_rows throw usage_error when `path` is
// missing or no result file.
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace mgpu::agent::write {

/// Prints what a file holds, for people: run, model, counts, columns, ranks, the first failures and what to do about them.
void inspect(const std::string& path, std::ostream& out);

/// Writes one row an item: path, manifest columns, status, error, attempts, rank, seconds and every result. `format`: "csv"
/// (RFC 4180, bytes of paths as they are; arrays as JSON in one field) or "jsonl" (bytes that are not UTF-8 as \udcXX, which
/// Python's json.loads and os.fsencode turn back). `safe_csv`: texts that a spreadsheet would take for a formula get an apostrophe. Fields are named as in the file, results as results.NAME where a name is taken.
void export_rows(const std::string& path, std::string_view format, bool safe_csv, std::ostream& out);

/// Compares every row with what its worker sent (/items/crc32c), rows without results with what they must hold, and the list of items
/// with the run's; prints the counts and what is wrong. Returns whether all is right. Throws usage_error where the file has no checksums.
bool verify(const std::string& path, std::ostream& out);

/// Makes a readable file with complete = 0 at `path` from what a dead run left beside it, and says what it holds. That stays as it is, so
/// that --resume can still go on. Throws usage_error when there is nothing, or when a run is writing it.
void recover(const std::string& path, std::ostream& out);

/// What `merge` made.
struct MergedRun {
  std::string job;
  std::uint64_t items = 0, ok = 0, failed = 0, flagged = 0, shards = 0;
};

/// Writes the result files of all shards of one run, in any order, as the file of the run without --shard: /results and
/// /items/{path,status,error} bit for bit. Every row is compared with its checksum on the way; memory does not grow with the rows. The
/// shards are not changed. `command` is noted in the file. Throws usage_error unless `paths` are all the shards of one run, each complete
/// and given once, and where `output` is one of them or exists without `overwrite`; Error, which names file and row, where a row is
/// damaged; ExitCode::stopped when the disk is full. Then nothing is at `output` that was not there before.
MergedRun merge(const std::vector<std::string>& paths, const std::string& output, bool overwrite, const std::string& command,
                std::ostream& out);

} // namespace mgpu::agent::write
