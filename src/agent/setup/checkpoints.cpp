#include "agent/setup/checkpoints.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "agent/write/hdf5/raw_file.hpp"
#include "common/support/text.hpp"
#include "mgpu/version.hpp"

namespace mgpu::agent {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view prefix = "step-";
constexpr std::string_view schema = "mgpu-checkpoint/";
constexpr int schema_version = 1;
constexpr auto file_name = "checkpoint.json";

struct Entry {
  std::uint64_t step = 0;
  fs::path folder;
  bool whole() const { return fs::exists(folder / file_name); }
};

/// Folders named step-N, by step.
std::vector<Entry> entries(const std::string& folder) {
  std::vector<Entry> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    std::uint64_t step = 0;
    const char* end = name.data() + name.size();
    if (std::from_chars(name.data() + prefix.size(), end, step).ptr == end) found.push_back({step, entry.path()});
  }
  std::sort(found.begin(), found.end(), [](const Entry& a, const Entry& b) { return a.step < b.step; });
  return found;
}

void remove_folder(const fs::path& folder) {
  // checkpoint.json first: if the process is killed here, the rest counts as incomplete.
  std::error_code error;
  fs::remove(folder / file_name, error);
  fs::remove_all(folder, error);
}

json parse(const fs::path& file) {
  std::ifstream stream(file);
  json content = json::parse(stream, nullptr, false);
  if (!content.is_object()) throw usage_error(fmt::format("checkpoint {}: damaged: not a JSON object", show_path(file.string())));
  return content;
}

void check_schema(const json& content, const fs::path& file) {
  const auto text = content.value("schema", std::string());
  int version = 0;
  if (text.starts_with(schema)) std::from_chars(text.data() + schema.size(), text.data() + text.size(), version);
  if (version > schema_version)
    throw usage_error(fmt::format("checkpoint {}: written by a newer version ({}); this one reads {}{}", show_path(file.string()),
                                  text, schema, schema_version));
  if (version < 1) throw usage_error(fmt::format("checkpoint {}: damaged: schema '{}'", show_path(file.string()), text));
}

void check_parts(const json& content, const fs::path& folder) {
  for (const json& part : content.value("parts", json::array())) {
    const fs::path file = folder / part.value("file", std::string());
    std::error_code error;
    const std::uintmax_t bytes = fs::file_size(file, error);
    if (error)
      throw usage_error(fmt::format("checkpoint {}: {} is missing", show_path(folder.string()), file.filename().string()));
    if (const auto expected = part.value("bytes", std::uint64_t{0}); bytes != expected)
      throw usage_error(fmt::format("checkpoint {}: {} is truncated: {} bytes, not {}", show_path(folder.string()),
                                    file.filename().string(), bytes, expected));
  }
}

/// Writes a temporary file, syncs it, renames it, and syncs the folder: the file is complete or missing.
void write_whole(const fs::path& file, const std::string& text) {
  const std::string aside = file.string() + ".new";
  std::error_code ignored;
  fs::remove(aside, ignored);
  {
    write::RawFile raw(aside, write::RawFile::Mode::create);
    raw.write_at(0, wire::View(reinterpret_cast<const std::byte*>(text.data()), text.size()));
    raw.sync_all();
  }
  fs::rename(aside, file);
  write::sync_folder_of(file.string());
}

} // namespace

std::optional<Checkpoint> Checkpoints::newest(const std::string& folder) {
  const std::vector<Entry> found = entries(folder);
  const auto entry = std::find_if(found.rbegin(), found.rend(), [](const Entry& each) { return each.whole(); });
  if (entry == found.rend()) return std::nullopt;
  json content = parse(entry->folder / file_name);
  check_schema(content, entry->folder / file_name);
  check_parts(content, entry->folder);
  return Checkpoint{entry->folder.string(), entry->step, std::move(content)};
}

bool Checkpoints::any(const std::string& folder) {
  return !entries(folder).empty();
}

void Checkpoints::begin(std::uint64_t step) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error || ::access(folder_.c_str(), W_OK | X_OK) != 0)
    throw usage_error(fmt::format("--checkpoint-dir {}: this folder cannot be made or written", show_path(folder_)));
  for (const Entry& entry : entries(folder_))
    if (entry.step > step || !entry.whole()) remove_folder(entry.folder);
}

void Checkpoints::saved(int rank, wire::Saved saved) {
  const std::uint64_t step = saved.step;
  parts_[step][rank] = std::move(saved);
}

std::vector<std::uint64_t> Checkpoints::ready() const {
  std::vector<std::uint64_t> steps;
  for (const auto& [step, parts] : parts_)
    if (parts.size() == world_size_) steps.push_back(step);
  return steps;
}

std::string Checkpoints::complete(std::uint64_t step, json more) {
  const auto parts = parts_.extract(step).mapped();
  const fs::path folder = parts.at(0).folder;
  json content = std::move(more);
  if (const json said = json::parse(parts.at(0).meta_json, nullptr, false); said.is_object()) content.update(said);
  content["schema"] = fmt::format("{}{}", schema, schema_version);
  content["version"] = version;
  content["step"] = step;
  content["epoch"] = parts.at(0).epoch;
  content["world_size"] = world_size_;
  content["parts"] = json::array();
  for (const auto& [rank, saved] : parts)
    content["parts"].push_back({{"file", fmt::format("rank-{:04}.part", rank)}, {"bytes", saved.bytes}});
  write_whole(folder / file_name, content.dump(1, ' ', false, json::error_handler_t::replace) + '\n');
  prune(content.value("best_step", std::uint64_t{0}));
  return folder.string();
}

void Checkpoints::prune(std::uint64_t best_step) const {
  if (keep_ == 0) return;
  std::vector<Entry> found = entries(folder_);
  // Incomplete ones are being written, or are removed at the next start. The best one is kept besides the newest.
  std::erase_if(found, [&](const Entry& entry) { return !entry.whole() || entry.step == best_step; });
  for (std::size_t at = 0; at + keep_ < found.size(); ++at) remove_folder(found[at].folder);
}

} // namespace mgpu::agent
