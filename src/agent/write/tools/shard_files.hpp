#pragma once
// The files that `merge` is given: whether they are all the shards of one run.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "agent/write/hdf5/result_file.hpp"

namespace mgpu::agent::write {

class ReadFile;

/// What a shard's file says of itself.
struct ShardFile {
  std::string path;
  Identity identity;                                                 ///< with its shard
  std::vector<ColumnSpec> columns;                                   ///< in the job's order; empty: no row has a result
  std::vector<std::uint64_t> elements;                               ///< of each ragged column, 0 of others
  std::vector<std::pair<std::string, std::string>> manifest_columns; ///< the manifest's name, the dataset's name
  std::vector<std::string> others;                                   ///< what a user has added at the root
  std::vector<RankRow> ranks;
  std::int32_t world_size = 1, resumes = 0;
  std::int32_t rank_numbers = 1; ///< ranks in /items/rank and /ranks are below this
  std::int32_t first_rank = 0;   ///< what they are counted from in the merged file: those of all shards before
  std::uint64_t size_bytes = 0;
  std::string job, version, run, command, config_json, model, started, finished;

  const ShardIdentity& shard() const { return *identity.shard; }
};

/// Reads what the files say and gives them in the order of their shards. Throws usage_error, which names the files, unless they are all
/// shards of one run, each complete and there once.
std::vector<ShardFile> read_shards(const std::vector<std::string>& paths);

/// Opens a shard again. Throws Error if it is another file now.
ReadFile open_shard(const ShardFile& shard);

} // namespace mgpu::agent::write
