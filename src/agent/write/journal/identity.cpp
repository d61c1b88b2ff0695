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

void compare(std::vector<std::string>& lines, std::string_view what, const json& then, const json& now) {
  if (then != now) lines.push_back(fmt::format("{}: {} then, {} now", what, shown(then), shown(now)));
}

/// The hashes decide if both are known; else the state of the file in the file system.
void compare_models(std::vector<std::string>& lines, const Identity& then, const Identity& now) {
  const bool hashed = !then.model_sha256.empty() && !now.model_sha256.empty();
  if (hashed ? then.model_sha256 == now.model_sha256 : then.model_state == now.model_state) return;
  if (hashed)
    lines.push_back(fmt::format("--model: {} with SHA-256 {:.16}… then, {} with {:.16}… now", then.model, then.model_sha256,
                                now.model, now.model_sha256));
  else
    lines.push_back(
        fmt::format("--model: {} of {} then, {} of {} now", then.model, then.model_state, now.model, now.model_state));
}

void compare_items(std::vector<std::string>& lines, const Identity& then, const Identity& now) {
  if (then.items != now.items)
    lines.push_back(fmt::format("--input: {} items then, {} now", then.items, now.items));
  else if (then.manifest_sha256 != now.manifest_sha256)
    lines.push_back(fmt::format("--input: the paths or columns of its {} items are not what they were", now.items));
}

} // namespace

std::string Identity::json() const {
  const nlohmann::json all{{"job", job},
                           {"version", version},
                           {"device", device_kind},
                           {"batch_size", batch_size},
                           {"options", options},
                           {"model", model},
                           {"model_state", model_state},
                           {"model_sha256", model_sha256},
                           {"items", items},
                           {"manifest_sha256", manifest_sha256}};
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

std::vector<std::string> differences(const Identity& then, const Identity& now) {
  std::vector<std::string> lines;
  compare(lines, "job", then.job, now.job);
  compare(lines, "version of mgpu_run", then.version, now.version);
  compare(lines, "device", then.device_kind, now.device_kind);
  compare(lines, "--batch-size", then.batch_size, now.batch_size);
  compare_models(lines, then, now);
  compare_items(lines, then, now);
  std::set<std::string> names;
  for (const auto& [name, value] : then.options.items()) names.insert(name);
  for (const auto& [name, value] : now.options.items()) names.insert(name);
  for (const std::string& name : names)
    compare(lines, "--" + name, then.options.value(name, json("no such option")),
            now.options.value(name, json("no such option")));
  return lines;
}

} // namespace mgpu::agent::write
