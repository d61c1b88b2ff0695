#pragma once
// Tools for result files, for users without HDF5 tools. inspect and export_rows throw usage_error when `path` is
// missing or not a result file.
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace mgpu::agent::write {

/// Prints a summary of a file: run, model, counts, columns, ranks, the first failures and how to repeat them.
void inspect(const std::string& path, std::ostream& out);

/// Writes one row per item: path, manifest columns, status, error, attempts, rank, seconds and every result. `format`: "csv"
/// (RFC 4180, bytes of paths as they are; arrays as JSON in one field) or "jsonl" (bytes that are not UTF-8 as \udcXX, which
/// Python's json.loads and os.fsencode turn back). `safe_csv`: texts that a spreadsheet would take for a formula get an apostrophe. Fields are named as in the file, results as results.NAME where a name is taken.
void export_rows(const std::string& path, std::string_view format, bool safe_csv, std::ostream& out);

/// Compares every row with what its worker sent (/items/crc32c), rows without results with their fill values, and the list of
/// items with the identity of the run; prints counts and differences. Returns whether all is correct. Throws usage_error for a
/// file without checksums.
bool verify(const std::string& path, std::ostream& out);

/// Makes a readable file with complete = 0 at `path` from the files that a dead run left beside it, and prints what it contains.
/// Those files are not changed, so that --resume can still continue. Throws usage_error when there is nothing, or when a run is
/// writing it.
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
