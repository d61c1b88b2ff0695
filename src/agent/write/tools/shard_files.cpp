#include "agent/write/tools/shard_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "agent/manifest/text.hpp"
#include "agent/write/hdf5/ranks.hpp"
#include "agent/write/hdf5/read_file.hpp"
#include "agent/write/hdf5/running_file.hpp"
#include "common/support/text.hpp"

namespace mgpu::agent::write {

namespace {

using manifest::shown;

constexpr std::uint64_t rank_rows = 1u << 20; // read at once

/// What its run's user types to finish it.
std::string resume_line(const ReadFile& file) {
  const std::int64_t ranks = file.number("world_size");
  const std::string command = file.text("command");
  return printable(fmt::format("{}{}{}", ranks > 1 ? fmt::format("mpirun -np {} ", ranks) : "", command,
                               command.find(" --resume") == std::string::npos ? " --resume" : ""));
}

Identity identity_of(const ReadFile& file) {
  const std::string name = shown(file.path());
  Identity identity;
  try {
    identity = Identity::parse(file.text("identity"));
  } catch (const nlohmann::json::exception&) {
    throw usage_error(fmt::format("{}: does not say of which run it is; give the files of runs with --shard I/N", name));
  }
  if (!identity.shard) throw usage_error(fmt::format("{}: is no shard: its run had no --shard I/N", name));
  return identity;
}

void require_complete(const ReadFile& file, const manifest::Shard& shard) {
  const std::string name = shown(file.path());
  if (!file.complete()) {
    const std::vector<Status> status = file.status();
    const auto pending = std::count(status.begin(), status.end(), Status::pending);
    throw usage_error(fmt::format("{}: shard {} is not complete, {} of its {} items are pending; finish it first: {}", name,
                                  shard.text(), pending, file.size(), resume_line(file)));
  }
  if (const std::string partial = Places(file.path()).partial; is_there(partial))
    throw usage_error(fmt::format("{}: a later run of shard {} is not complete, it left {}; finish it first: {}", name,
                                  shard.text(), shown(partial), resume_line(file)));
}

/// Ranks that did an item may be more than the last run had.
std::int32_t count_ranks(const ReadFile& file, const ShardFile& shard) {
  std::int32_t count = shard.world_size;
  for (const RankRow& row : shard.ranks) count = std::max(count, row.rank + 1);
  for (std::uint64_t first = 0; first < file.size(); first += rank_rows)
    for (const std::int32_t rank :
         file.item_numbers<std::int32_t>("rank", H5T_STD_I32LE, first, std::min(rank_rows, file.size() - first)))
      count = std::max(count, rank + 1);
  return count;
}

void read_columns(const ReadFile& file, ShardFile& shard) {
  shard.columns = file.columns_in_order();
  if (shard.columns.size() != file.columns().size() || !file.has_item_dataset("crc32c") || !file.has_item_dataset("error"))
    throw usage_error(
        fmt::format("{}: results were added to it or removed since its run; merge it as its run wrote it", shown(shard.path)));
  for (const ColumnSpec& column : shard.columns) {
    if (column.layout != Layout::ragged) {
      shard.elements.push_back(0);
      continue;
    }
    const auto offset = [&](std::uint64_t row) { return file.ragged_offsets(column, row, 0).at(0); };
    const std::uint64_t values = h5::shape_of(h5::open_dataset(file.file(), "results/" + column.name + "/values")).at(0);
    if (offset(0) != 0 || offset(file.size()) != values)
      throw Error(fmt::format("{}: damaged: /results/{}/offsets do not end where its values do; mgpu_run verify tells more",
                              shown(shard.path), printable(column.name)));
    shard.elements.push_back(values);
  }
}

ShardFile read_shard(const std::string& path) {
  const ReadFile file(path);
  ShardFile shard;
  shard.path = path;
  shard.identity = identity_of(file);
  require_complete(file, shard.shard().shard);
  shard.size_bytes = std::filesystem::file_size(path);
  shard.job = file.text("job");
  shard.version = file.text("version");
  shard.run = file.text("run");
  shard.command = file.text("command");
  shard.config_json = file.text("config");
  shard.model = file.text("model");
  shard.started = file.text("started");
  shard.finished = file.text("finished");
  shard.world_size = static_cast<std::int32_t>(file.number("world_size"));
  shard.resumes = static_cast<std::int32_t>(file.number("resumes"));
  shard.ranks = read_ranks(file.file());
  shard.rank_numbers = count_ranks(file, shard);
  shard.manifest_columns = file.manifest_datasets();
  for (const std::string& name : h5::names_in(file.file()))
    if (name != "items" && name != "results" && name != "ranks") shard.others.push_back(name);
  read_columns(file, shard);
  // What its number, the list and the batch size say: anything else is another program's cut, or damage.
  const ShardIdentity& kept = shard.shard();
  if (shard.identity.batch_size == 0 || kept.shard.index == 0 || kept.shard.index > kept.shard.count)
    throw usage_error(
        fmt::format("{}: shard {} in batches of {}: damaged", shown(path), kept.shard.text(), shard.identity.batch_size));
  const manifest::ItemSpan span = manifest::items_of(kept.shard, kept.all_items, shard.identity.batch_size);
  if (span != manifest::ItemSpan{kept.first, file.size()} || shard.identity.items != file.size())
    throw usage_error(fmt::format("{}: shard {} of {} items has items {} to {}, this file has {} from {} on", shown(path),
                                  kept.shard.text(), kept.all_items, span.first, span.first + span.count, file.size(),
                                  kept.first));
  return shard;
}

/// All but which share each does.
void require_one_run(const ShardFile& a, const ShardFile& b) {
  Identity other = b.identity;
  other.shard->shard.index = a.shard().shard.index;
  std::vector<std::string> lines = differences(a.identity, other, "in " + shown(a.path), "in " + shown(b.path));
  if (a.manifest_columns != b.manifest_columns) lines.push_back("--input: the names of its columns");
  if (!a.columns.empty() && !b.columns.empty() && a.columns != b.columns) lines.push_back("the columns of /results");
  if (lines.empty()) return;
  std::string text = fmt::format("{} and {} are not shards of one run:", shown(a.path), shown(b.path));
  for (const std::string& line : lines) text += "\n  " + printable(line);
  throw usage_error(text);
}

void require_each_once(const std::vector<ShardFile>& shards) {
  for (std::size_t at = 1; at < shards.size(); ++at)
    if (shards[at].shard().shard == shards[at - 1].shard().shard)
      throw usage_error(fmt::format("{} and {} are both shard {}; give each shard once", shown(shards[at - 1].path),
                                    shown(shards[at].path), shards[at].shard().shard.text()));
  const std::uint32_t count = shards.front().shard().shard.count;
  if (shards.size() == count) return;
  constexpr std::size_t most_named = 10;
  std::vector<std::string> missing;
  auto next = shards.begin();
  for (std::uint32_t index = 1; index <= count && missing.size() < most_named; ++index) {
    if (next != shards.end() && next->shard().shard.index == index)
      ++next;
    else
      missing.push_back(manifest::Shard{index, count}.text());
  }
  const std::size_t more = count - shards.size() - missing.size();
  throw usage_error(fmt::format("{} of {} shards are missing: {}{}; give their files, too", count - shards.size(), count,
                                manifest::listed(missing), more > 0 ? fmt::format(" and {} more", more) : ""));
}

} // namespace

std::vector<ShardFile> read_shards(const std::vector<std::string>& paths) {
  std::vector<ShardFile> shards;
  for (const std::string& path : paths) shards.push_back(read_shard(path));
  // Each with all that have columns: two shards without rows tell nothing of a third one's.
  const auto with_columns =
      std::find_if(shards.begin(), shards.end(), [](const ShardFile& each) { return !each.columns.empty(); });
  const ShardFile& measure = with_columns == shards.end() ? shards.front() : *with_columns;
  for (const ShardFile& shard : shards) require_one_run(measure, shard);
  std::stable_sort(shards.begin(), shards.end(),
                   [](const ShardFile& a, const ShardFile& b) { return a.shard().shard.index < b.shard().shard.index; });
  require_each_once(shards);
  std::int32_t ranks = 0;
  for (ShardFile& shard : shards) {
    shard.first_rank = ranks;
    ranks += shard.rank_numbers;
  }
  return shards;
}

ReadFile open_shard(const ShardFile& shard) {
  ReadFile file(shard.path);
  if (file.text("run") != shard.run || !file.complete())
    throw Error(fmt::format("{}: was replaced while it was merged; merge again", shown(shard.path)));
  return file;
}

} // namespace mgpu::agent::write
