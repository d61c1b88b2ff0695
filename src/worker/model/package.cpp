#include "worker/model/package.hpp"

#include <caffe2/serialize/inline_container.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string_view>

#include "mgpu/error.hpp"

namespace mgpu::worker {

namespace {

std::vector<std::string> zip_records(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw usage_error(fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
  char magic[4] = {};
  file.read(magic, sizeof magic);
  const auto not_a_model = [&](std::string_view why) {
    return usage_error(fmt::format("{} is not a TorchScript or AOTInductor file: {}", path, why));
  };
  if (file.gcount() == 0) throw not_a_model("it is empty");
  if (std::string_view(magic, sizeof magic) != std::string_view("PK\3\4", 4)) throw not_a_model("it is not a zip archive");
  try {
    caffe2::serialize::PyTorchStreamReader reader(path);
    return reader.getAllRecords();
  } catch (const std::exception&) {
    throw not_a_model("its zip archive is truncated or damaged");
  }
}

bool has_prefix(const std::vector<std::string>& records, std::string_view prefix) {
  return std::any_of(records.begin(), records.end(), [&](const std::string& name) { return name.starts_with(prefix); });
}

} // namespace

Package inspect_package(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) throw usage_error(fmt::format("{}: no such file (--model)", path));
  if (std::filesystem::is_directory(path, ignored)) throw usage_error(fmt::format("{} is a folder, not a model file", path));

  const std::vector<std::string> records = zip_records(path);
  constexpr std::string_view aoti = "data/aotinductor/";
  std::set<std::string> names;
  for (const std::string& record : records)
    if (record.starts_with(aoti)) names.insert(record.substr(aoti.size(), record.find('/', aoti.size()) - aoti.size()));
  if (names.size() == 1) return {PackageKind::aotinductor, *names.begin()};
  if (names.contains("model")) return {PackageKind::aotinductor, "model"};
  if (!names.empty())
    throw usage_error(fmt::format("{} holds {} AOTInductor models and none is called 'model'", path, names.size()));
  if (has_prefix(records, "constants.pkl") && has_prefix(records, "code/")) return {PackageKind::torchscript, ""};
  std::string_view hint = "";
  if (has_prefix(records, "models/") || has_prefix(records, "serialized_exported_program"))
    hint = ": it is an exported program; compile it with torch._inductor.aoti_compile_and_package";
  else if (has_prefix(records, "data.pkl"))
    hint = ": it holds weights only (torch.save); save the network with torch.jit.script or torch.jit.trace";
  throw usage_error(fmt::format("{} is not a TorchScript or AOTInductor file{}", path, hint));
}

std::string missing_cpu_feature(const std::string& isa, const std::string& cpuinfo_path) {
  std::ifstream cpuinfo(cpuinfo_path);
  std::set<std::string> flags;
  for (std::string line; std::getline(cpuinfo, line);) {
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    for (std::string word; words >> word;) flags.insert(word);
    break;
  }
  if (flags.empty()) return ""; // not an x86 processor: no check
  std::istringstream wanted(isa);
  for (std::string word; wanted >> word;) {
    std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::tolower(c); });
    if (!word.starts_with("avx") && !word.starts_with("amx")) continue;
    const std::string flag = word == "avx512" ? "avx512f" : word;
    if (!flags.contains(flag)) return word;
  }
  return "";
}

} // namespace mgpu::worker
