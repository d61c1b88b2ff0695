#pragma once
#include <string>
#include <vector>

namespace mgpu::agent {

/// `merge`: joins all shards of a run to one file (write::merge), then does what the run without --shard does at its end: prints the job's own
/// results and writes OUTPUT.summary.json. Returns the exit code of that run: 0, or 3 if items failed. Throws Error.
int merge_shards(const std::vector<std::string>& shards, const std::string& output, bool overwrite);

} // namespace mgpu::agent
