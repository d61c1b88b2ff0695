#include "agent/write/journal/identity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "common/support/hash.hpp"

namespace mgpu::agent::write {

namespace {

using nlohmann::json;

std::string shown(const json& value) {
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  return text.empty() ? "''" : text;
}

/// Collects the lines; the words name the runs.
struct Lines {
  std::string_view then_word, now_word;
  std::vector<std::string> lines;

  void compare(std::string_view what, const json& then, const json& now) {
    if (then != now) lines.push_back(fmt::format("{}: {} {}, {} {}", what, shown(then), then_word, shown(now), now_word));
  }

  /// The hash decides where both are known; until then, what the file system says of the file.
  void compare_models(const Identity& then, const Identity& now) {
    const bool hashed = !then.model_sha256.empty() && !now.model_sha256.empty();
    if (hashed ? then.model_sha256 == now.model_sha256 : then.model_state == now.model_state) return;
    if (hashed)
      lines.push_back(fmt::format("--model: {} with SHA-256 {:.16}… {}, {} with {:.16}… {}", then.model, then.model_sha256,
                                  then_word, now.model, now.model_sha256, now_word));
    else
      lines.push_back(fmt::format("--model: {} of {} {}, {} of {} {}", then.model, then.model_state, then_word, now.model,
                                  now.model_state, now_word));
  }

  /// Of shards the whole manifest counts: which part of it a run does follows from the shard and the batch size.
  void compare_items(const Identity& then, const Identity& now) {
    const auto shard = [](const Identity& run) { return run.shard ? run.shard->shard.text() : std::string("none"); };
    const auto items = [](const Identity& run) { return run.shard ? run.shard->all_items : run.items; };
    const auto list = [](const Identity& run) { return run.shard ? run.shard->all_manifest_sha256 : run.manifest_sha256; };
    compare("--shard", shard(then), shard(now));
    if (items(then) != items(now))
      lines.push_back(fmt::format("--input: {} items {}, {} {}", items(then), then_word, items(now), now_word));
    else if (list(then) != list(now))
      lines.push_back(fmt::format("--input: the paths or columns of its {} items are not {}", items(now),
                                  now_word == "now" ? "what they were" : "the same"));
  }
};

json shard_json(const ShardIdentity& shard) {
  return {{"index", shard.shard.index},
          {"count", shard.shard.count},
          {"first", shard.first},
          {"all_items", shard.all_items},
          {"all_manifest_sha256", shard.all_manifest_sha256}};
}

ShardIdentity parse_shard(const json& all) {
  ShardIdentity shard;
  all.at("index").get_to(shard.shard.index);
  all.at("count").get_to(shard.shard.count);
  all.at("first").get_to(shard.first);
  all.at("all_items").get_to(shard.all_items);
  all.at("all_manifest_sha256").get_to(shard.all_manifest_sha256);
  return shard;
}

} // namespace

std::string Identity::json() const {
  nlohmann::json all{{"job", job},
                     {"version", version},
                     {"device", device_kind},
                     {"batch_size", batch_size},
                     {"options", options},
                     {"model", model},
                     {"model_state", model_state},
                     {"model_sha256", model_sha256},
                     {"items", items},
                     {"manifest_sha256", manifest_sha256}};
  if (shard) all["shard"] = shard_json(*shard);
  return all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Identity Identity::parse(std::string_view text) {
  const nlohmann::json all = nlohmann::json::parse(text);
  Identity identity;
  all.at("job").get_to(identity.job);
  all.at("version").get_to(identity.version);
  all.at("device").get_to(identity.device_kind);
  all.at("batch_size").get_to(identity.batch_size);
  identity.options = all.at("options");
  all.at("model").get_to(identity.model);
  all.at("model_state").get_to(identity.model_state);
  all.at("model_sha256").get_to(identity.model_sha256);
  all.at("items").get_to(identity.items);
  all.at("manifest_sha256").get_to(identity.manifest_sha256);
  if (all.contains("shard")) identity.shard = parse_shard(all.at("shard"));
  return identity;
}

std::string sha256_of(const manifest::Manifest& manifest) {
  const std::vector<std::string>& names = manifest.column_names();
  std::vector<std::size_t> by_name(names.size()); // a result file does not store their order
  std::iota(by_name.begin(), by_name.end(), std::size_t{0});
  std::stable_sort(by_name.begin(), by_name.end(), [&](std::size_t a, std::size_t b) { return names[a] < names[b]; });
  Sha256 all;
  for (const std::size_t column : by_name) all.add(names[column]);
  for (std::uint64_t item = 0; item < manifest.size(); ++item) {
    all.add(manifest.path(item));
    for (const std::size_t column : by_name) all.add(manifest.value(column, item));
  }
  return all.hex();
}

std::vector<std::string> differences(const Identity& then, const Identity& now, std::string_view then_word,
                                     std::string_view now_word) {
  Lines lines{then_word, now_word, {}};
  lines.compare("job", then.job, now.job);
  lines.compare("version of mgpu_run", then.version, now.version);
  lines.compare("device", then.device_kind, now.device_kind);
  lines.compare("--batch-size", then.batch_size, now.batch_size);
  lines.compare_models(then, now);
  lines.compare_items(then, now);
  std::set<std::string> names;
  for (const auto& [name, value] : then.options.items()) names.insert(name);
  for (const auto& [name, value] : now.options.items()) names.insert(name);
  for (const std::string& name : names)
    lines.compare("--" + name, then.options.value(name, json("no such option")), now.options.value(name, json("no such option")));
  return lines.lines;
}

} // namespace mgpu::agent::write
