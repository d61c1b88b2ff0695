#pragma once
// Checks that the files given to `merge` are all shards of one run.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "agent/write/hdf5/result_file.hpp"

namespace mgpu::agent::write {

class ReadFile;

/// The facts in a shard's file.
struct ShardFile {
  std::string path;
  Identity identity;                                                 ///< with its shard
  std::vector<ColumnSpec> columns;                                   ///< in the job's order; empty: no row has a result
  std::vector<std::uint64_t> elements;                               ///< of each ragged column, 0 of others
  std::vector<std::pair<std::string, std::string>> manifest_columns; ///< the manifest's name, the dataset's name
  std::vector<std::string> others;                                   ///< objects that a user has added at the root
  std::vector<RankRow> ranks;
  std::int32_t world_size = 1, resumes = 0;
  std::int32_t rank_numbers = 1; ///< ranks in /items/rank and /ranks are below this
  std::int32_t first_rank = 0;   ///< number of its rank 0 in the merged file: the sum of rank_numbers of the shards before
  std::uint64_t size_bytes = 0;
  std::string job, version, run, command, config_json, model, started, finished;

  const ShardIdentity& shard() const { return *identity.shard; }
};

/// Reads the files; returns them in the order of their shards. Throws usage_error, naming the files, unless they are all shards of one run, each
/// complete and given once.
std::vector<ShardFile> read_shards(const std::vector<std::string>& paths);

/// Opens a shard again. Throws Error if the file was replaced meanwhile.
ReadFile open_shard(const ShardFile& shard);

} // namespace mgpu::agent::write
