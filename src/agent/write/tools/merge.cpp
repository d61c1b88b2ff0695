// One file of all shards of a run.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <numeric>
#include <ostream>

#include "agent/manifest/text.hpp"
#include "agent/write/hdf5/running_file.hpp"
#include "agent/write/tools/merged_file.hpp"
#include "agent/write/tools/tools.hpp"
#include "common/support/clock.hpp"
#include "common/support/progress.hpp"

namespace mgpu::agent::write {

namespace {

using manifest::shown;

bool same_file(const std::string& a, const std::string& b) {
  struct stat of_a {
  }, of_b{};
  return ::stat(a.c_str(), &of_a) == 0 && ::stat(b.c_str(), &of_b) == 0 && of_a.st_ino == of_b.st_ino &&
         of_a.st_dev == of_b.st_dev;
}

/// The lock on the output. Throws usage_error where it may not be written.
ResultFile::Lock take_output(const std::vector<std::string>& paths, const std::string& output, bool overwrite) {
  for (const std::string& path : paths)
    if (same_file(path, output))
      throw usage_error(fmt::format("output {}: is one of the shards; give another name with -o", shown(output)));
  const Places places(output);
  const auto refuse_existing = [&] {
    for (const std::string& there : {places.output, places.partial, places.journal})
      if (!overwrite && is_there(there))
        throw usage_error(fmt::format("output {}: {} exists; --overwrite replaces it", shown(output), shown(there)));
  };
  refuse_existing(); // before a lock file is left for a refusal
  ResultFile::Lock lock = ResultFile::check(output, Existing::overwrite);
  refuse_existing();
  return lock;
}

MergedCounts write_merged(const std::vector<ShardFile>& shards, const std::string& path, const std::string& output,
                          const std::string& command, std::uint64_t needed_bytes) {
  MergedFile merged(path, shards, needed_bytes);
  Progress progress("auto", merged.counts().items);
  for (const ShardFile& shard : shards)
    merged.append(shard, [&](std::uint64_t rows) { progress.update(rows, merged.counts().failed, now_s()); });
  progress.close();
  merged.finish(output, command);
  return merged.counts();
}

} // namespace

MergedRun merge(const std::vector<std::string>& paths, const std::string& output, bool overwrite, const std::string& command,
                std::ostream& out) {
  std::signal(SIGXFSZ, SIG_IGN); // a file size limit shall be an error of the write that meets it
  const std::vector<ShardFile> shards = read_shards(paths);
  const ResultFile::Lock lock = take_output(paths, output, overwrite);
  const Places places(output);
  const std::uint64_t needed_bytes =
      std::accumulate(shards.begin(), shards.end(), std::uint64_t{0},
                      [](std::uint64_t sum, const ShardFile& shard) { return sum + shard.size_bytes; });
  MergedCounts counts;
  remove_old(places.merging);
  try {
    counts = write_merged(shards, places.merging, output, command, needed_bytes);
    lock->require();
    // What --overwrite replaces goes first: an unfinished run beside the merged file would be taken for a later one.
    remove_old(places.partial);
    remove_old(places.journal);
    if (::rename(places.merging.c_str(), output.c_str()) != 0) throw file_error(output, "rename", errno, 0, "merge again");
    sync_folder_of(output);
  } catch (const std::exception& exception) {
    ::unlink(places.merging.c_str()); // a full disk has no room for what nobody can use
    const auto* error = dynamic_cast<const Error*>(&exception);
    if (error != nullptr && error->code() == ExitCode::stopped && (error->call.starts_with("H5") || error->call == "closing"))
      throw file_error(places.merging, error->call.c_str(), ENOSPC, needed_bytes, "merge again");
    throw;
  }
  for (const ShardFile& shard : shards)
    for (const std::string& name : shard.others)
      out << fmt::format("{}: /{} is not of its run and is not taken over\n", shown(shard.path), shown(name));
  out << fmt::format("{}: {} items of {} shard(s): {} ok, {} failed\n", shown(output), counts.items, shards.size(), counts.ok,
                     counts.failed);
  return {.job = shards.front().job,
          .items = counts.items,
          .ok = counts.ok,
          .failed = counts.failed,
          .flagged = counts.flagged,
          .shards = shards.size()};
}

} // namespace mgpu::agent::write
