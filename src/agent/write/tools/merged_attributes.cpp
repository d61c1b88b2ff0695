// What stands in a merged file beside its rows.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "agent/manifest/text.hpp"
#include "agent/write/hdf5/ranks.hpp"
#include "agent/write/tools/merged_file.hpp"

namespace mgpu::agent::write {

namespace {

/// The options of the run without --shard.
std::string merged_config(const ShardFile& first, const std::string& output) {
  nlohmann::json config = nlohmann::json::parse(first.config_json, nullptr, false);
  if (!config.is_object())
    throw Error(fmt::format("{}: its attribute config is damaged: it is no JSON object", manifest::shown(first.path)));
  config["shard"] = "";
  config["output"] = output;
  return config.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// The run without --shard.
Identity merged_identity(const ShardFile& first) {
  Identity identity = first.identity;
  identity.items = first.shard().all_items;
  identity.manifest_sha256 = first.shard().all_manifest_sha256;
  identity.shard.reset();
  return identity;
}

/// A number of its own, which the same shards give again.
std::string merged_run(const std::vector<ShardFile>& shards) {
  constexpr std::size_t digits = 16;
  std::string runs;
  for (const ShardFile& shard : shards) runs += shard.run + '\n';
  return sha256_of_text(runs).substr(0, digits);
}

template <typename Get>
auto collect(const std::vector<ShardFile>& shards, Get get) {
  std::vector<std::decay_t<decltype(get(shards.front()))>> values;
  for (const ShardFile& shard : shards) values.push_back(get(shard));
  return values;
}

} // namespace

void MergedFile::write_shards() const {
  using Number = std::uint64_t;
  const std::vector<Series> series{
      {"file", collect(shards_, [](const ShardFile& each) { return each.path; })},
      {"first_item", collect(shards_, [](const ShardFile& each) { return each.shard().first; })},
      {"items", collect(shards_, [](const ShardFile& each) { return each.identity.items; })},
      {"first_rank", collect(shards_, [](const ShardFile& each) { return static_cast<Number>(each.first_rank); })},
      {"world_size", collect(shards_, [](const ShardFile& each) { return static_cast<Number>(each.world_size); })},
      {"resumes", collect(shards_, [](const ShardFile& each) { return static_cast<Number>(each.resumes); })},
      {"command", collect(shards_, [](const ShardFile& each) { return each.command; })},
      {"started", collect(shards_, [](const ShardFile& each) { return each.started; })},
      {"finished", collect(shards_, [](const ShardFile& each) { return each.finished; })},
  };
  write_series(file_, "shards", series);
  std::vector<RankRow> ranks;
  for (const ShardFile& shard : shards_)
    for (RankRow row : shard.ranks) {
      row.rank += shard.first_rank;
      ranks.push_back(std::move(row));
    }
  write_ranks(file_, ranks);
}

void MergedFile::write_attributes(const std::string& output, const std::string& command) const {
  const ShardFile& first = shards_.front();
  // ISO 8601 in UTC: texts in the order of time.
  const auto times = [&](auto member) { return collect(shards_, [&](const ShardFile& each) { return each.*member; }); };
  const auto started = times(&ShardFile::started), finished = times(&ShardFile::finished);
  const auto sum = [&](auto member) {
    const auto values = collect(shards_, [&](const ShardFile& each) { return each.*member; });
    return std::accumulate(values.begin(), values.end(), 0);
  };
  h5::set_attribute(file_, "schema", "mgpu/1");
  h5::set_attribute(file_, "job", first.job);
  h5::set_attribute(file_, "command", command);
  h5::set_attribute(file_, "config", merged_config(first, output));
  h5::set_attribute(file_, "version", first.version);
  h5::set_attribute(file_, "model", first.model);
  h5::set_attribute(file_, "model_sha256", first.identity.model_sha256);
  h5::set_attribute(file_, "started", *std::min_element(started.begin(), started.end()));
  h5::set_attribute(file_, "finished", *std::max_element(finished.begin(), finished.end()));
  h5::set_attribute(file_, "world_size", sum(&ShardFile::world_size));
  h5::set_attribute(file_, "resumes", sum(&ShardFile::resumes));
  h5::set_attribute(file_, "run", merged_run(shards_));
  h5::set_attribute(file_, "identity", merged_identity(first).json());
  h5::set_attribute(file_, "complete", 1);
}

void MergedFile::finish(const std::string& output, const std::string& command) {
  errors_->close();
  for (const auto& column : list_) column->close();
  for (Column& column : columns_)
    if (column.texts) column.texts->close();
  const std::string hash = list_hash_.hex();
  if (hash != shards_.front().shard().all_manifest_sha256 && !list_hash_.replaced_nul())
    throw Error(
        "the list of items in the shards (/items/path and columns of --input) is not the one that they were cut from; "
        "mgpu_run verify names the shard that was changed");
  write_shards();
  write_attributes(output, command);
  rows_->flush();
  columns_.clear(); // a file that has anything open is not closed, and does not tell what failed
  list_.clear();
  errors_.reset();
  items_.close();
  file_.close();
  raw_->sync_all();
}

} // namespace mgpu::agent::write
