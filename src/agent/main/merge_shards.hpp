#pragma once
#include <string>
#include <vector>

namespace mgpu::agent {

/// `merge`: one file of all shards of a run (write::merge), then what the run without --shard does at its end: the job's own results on
/// standard output, and OUTPUT.summary.json. Returns the exit code of that run: 0, or 3 where items failed. Throws Error.
int merge_shards(const std::vector<std::string>& shards, const std::string& output, bool overwrite);

} // namespace mgpu::agent
