#include "comm/binding.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "comm/environment.hpp"

namespace mgpu::comm {

namespace {

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    if (end > begin) parts.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string device_count(const wire::Hello& hello) {
  if (hello.devices.empty()) return hello.device_note.empty() ? "no GPU" : "no GPU: " + hello.device_note;
  return fmt::format("{} GPU{}", hello.devices.size(), hello.devices.size() == 1 ? "" : "s");
}

/// Why a device is left out; nullptr if it is not.
const std::string* bad_reason(const RankFacts& facts, const wire::Device& device) {
  for (const auto& [uuid, reason] : facts.join.bad_devices)
    if (uuid == device.uuid) return &reason;
  return nullptr;
}

/// The devices `option` names on the node of this rank, as CUDA indices in the order given.
std::vector<int> choose_devices(const RankFacts& facts, const std::string& option) {
  const std::vector<wire::Device>& devices = facts.hello.devices;
  std::vector<int> chosen;
  if (option == "auto") {
    for (const wire::Device& device : devices)
      if (!bad_reason(facts, device)) chosen.push_back(device.index);
    if (chosen.empty() && !devices.empty())
      throw usage_error(
          fmt::format("host {}: every GPU is left out because it failed lately ({}: {}); --devices 0,1,… takes them "
                      "all the same, docs/faults.md says where the list is",
                      facts.join.host, devices[0].uuid, *bad_reason(facts, devices[0])));
    return chosen;
  }
  for (const std::string& name : split(option)) {
    int index = -1;
    const bool numeric = std::from_chars(name.data(), name.data() + name.size(), index).ptr == name.data() + name.size();
    const auto found = std::find_if(devices.begin(), devices.end(), [&](const wire::Device& device) {
      return numeric ? device.index == index : (name.size() >= 8 && device.uuid.starts_with(name));
    });
    if (found == devices.end())
      throw usage_error(fmt::format("--devices {}: host {} has no device {} ({}); `mgpu_run doctor` lists what each rank sees",
                                    option, facts.join.host, name, device_count(facts.hello)));
    if (std::find(chosen.begin(), chosen.end(), found->index) != chosen.end())
      throw usage_error(fmt::format("--devices {}: device {} is named twice", option, name));
    chosen.push_back(found->index);
  }
  if (chosen.empty())
    throw usage_error(fmt::format("--devices '{}' names no device; use auto, cpu, or a list such as 0,2", option));
  return chosen;
}

/// Slice `part` of `parts` of the node's cores; all of them when there are fewer cores than parts, so that no rank is shut into
/// a core it must share with a known other.
std::vector<std::int32_t> share_cores(const std::vector<std::int32_t>& cores, int part, int parts) {
  const std::size_t count = cores.size();
  if (count < static_cast<std::size_t>(parts)) return cores;
  const std::size_t begin = count * part / parts;
  const std::size_t end = count * (part + 1) / parts;
  return {cores.begin() + static_cast<std::ptrdiff_t>(begin), cores.begin() + static_cast<std::ptrdiff_t>(end)};
}

} // namespace

namespace {

/// True when the launcher numbered the ranks of this node 0 … n − 1, in whatever order: then its numbers are as good as ours, and
/// other tools of the node know them.
bool launcher_numbers_are_whole(const std::vector<RankFacts>& ranks, const std::vector<std::size_t>& members) {
  std::vector<bool> seen(members.size(), false);
  for (const std::size_t rank : members) {
    const int local = ranks[rank].join.launcher_local_rank;
    if (local < 0 || static_cast<std::size_t>(local) >= members.size() || seen[static_cast<std::size_t>(local)]) return false;
    seen[static_cast<std::size_t>(local)] = true;
  }
  return true;
}

} // namespace

Locality find_locality(const std::vector<RankFacts>& ranks) {
  Locality locality;
  locality.local_rank.resize(ranks.size());
  locality.local_size.resize(ranks.size());
  std::map<std::string, std::vector<std::size_t>> nodes;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) nodes[ranks[rank].join.node].push_back(rank);

  for (const auto& [node, members] : nodes) {
    const bool launcher = launcher_numbers_are_whole(ranks, members);
    const int size = static_cast<int>(members.size());
    for (std::size_t at = 0; at < members.size(); ++at) {
      const std::size_t rank = members[at];
      const wire::Join& join = ranks[rank].join;
      locality.local_rank[rank] = launcher ? join.launcher_local_rank : static_cast<int>(at);
      locality.local_size[rank] = size;
      if (!launcher && join.launcher_local_rank >= 0)
        locality.warnings.push_back(
            fmt::format("rank {} on {}: the launcher's local rank {} does not fit the {} rank(s) there; local rank {} is used",
                        rank, node, join.launcher_local_rank, size, at));
      if (join.shared_size >= 0 && join.shared_size != size)
        locality.warnings.push_back(
            fmt::format("rank {} on {}: MPI's shared-memory split sees {} rank(s), its node's names say {}; names are used", rank,
                        node, join.shared_size, size));
    }
  }
  return locality;
}

std::vector<Binding> bind_devices(const std::vector<RankFacts>& ranks, const BindingOptions& options, const Locality& locality) {
  std::vector<Binding> bindings(ranks.size());
  std::set<std::string> cpu_hosts, gpu_hosts;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const RankFacts& facts = ranks[rank];
    Binding& binding = bindings[rank];
    binding.local_rank = locality.local_rank[rank];
    binding.local_size = locality.local_size[rank];
    if (options.devices != "cpu") {
      const std::vector<int> devices = choose_devices(facts, options.devices);
      const int count = static_cast<int>(devices.size());
      if (count > 0 && binding.local_size > count && !options.oversubscribe)
        throw usage_error(fmt::format(
            "{} ranks on host {} but {} to use ({}); start {} a node, or allow sharing with --oversubscribe", binding.local_size,
            facts.join.host, count == 1 ? "1 GPU" : fmt::format("{} GPUs", count), "--devices " + options.devices, count));
      if (count > 0) binding.device = devices[static_cast<std::size_t>(binding.local_rank % count)];
    }
    (binding.device < 0 ? cpu_hosts : gpu_hosts).insert(facts.join.host);

    binding.cores = share_cores(facts.join.cores, binding.local_rank, binding.local_size);
    const int cores = std::max<int>(1, static_cast<int>(facts.join.cores.size()) / binding.local_size);
    binding.threads = options.threads > 0 ? options.threads : cores;
    // On a GPU rank its cores do little but decode; on a CPU rank decoding and the network share them.
    binding.loaders = options.loaders > 0 ? options.loaders : std::clamp(binding.device >= 0 ? cores - 1 : cores, 1, 16);
  }
  if (!cpu_hosts.empty() && !gpu_hosts.empty())
    throw usage_error(
        fmt::format("host {} has no GPU but host {} has; results would differ by device. Use hosts of one kind or --devices cpu",
                    *cpu_hosts.begin(), *gpu_hosts.begin()));
  return bindings;
}

} // namespace mgpu::comm
