#include "agent/comm/binding.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "agent/comm/core_shares.hpp"
#include "common/support/text.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent::comm {

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
  return counted(hello.devices.size(), "GPU");
}

/// Why a device is excluded; nullptr if it is not.
const std::string* bad_reason(const RankFacts& facts, const wire::Device& device) {
  for (const auto& [uuid, reason] : facts.join.bad_devices)
    if (uuid == device.uuid) return &reason;
  return nullptr;
}

/// Share of the device's memory that was in use before the run; nullopt: not known.
std::optional<double> used_share(const RankFacts& facts, const wire::Device& device) {
  for (const wire::GpuMemory& memory : facts.join.gpu_memory)
    if (memory.uuid == device.uuid && memory.total_bytes > 0)
      return static_cast<double>(memory.used_bytes) / static_cast<double>(memory.total_bytes);
  return std::nullopt;
}

bool in_use(const RankFacts& facts, const wire::Device& device, const BindingOptions& options) {
  return used_share(facts, device).value_or(0) > options.max_gpu_memory;
}

std::string percent(double share) {
  return fmt::format("{:.0f}%", std::ceil(100 * share));
}

/// "other processes use 63% of the memory of GPU 0 (GPU-5c…) on host a, --max-gpu-memory allows 10%".
std::string describe_use(const RankFacts& facts, const wire::Device& device, const BindingOptions& options) {
  return fmt::format("other processes use {} of the memory of GPU {} ({}) on host {}, --max-gpu-memory allows {}",
                     percent(used_share(facts, device).value_or(0)), device.index, device.uuid, facts.join.host,
                     percent(options.max_gpu_memory));
}

/// What to type instead of a list with a device that others use.
std::string describe_instead(const RankFacts& facts, const wire::Device& device, const BindingOptions& options,
                             std::size_t named) {
  std::string free;
  std::size_t count = 0;
  for (const wire::Device& other : facts.hello.devices)
    if (count < named && bad_reason(facts, other) == nullptr && !in_use(facts, other, options))
      free += fmt::format("{}{}", count++ == 0 ? "" : ",", other.index);
  const std::string allow = fmt::format("--max-gpu-memory {}", percent(used_share(facts, device).value_or(0)));
  return count < named ? fmt::format("wait for them, or type {}", allow) : fmt::format("type --devices {}, or {}", free, allow);
}

/// The devices the options name on the node of this rank, as CUDA indices in the order given.
std::vector<int> choose_devices(const RankFacts& facts, const BindingOptions& options) {
  const std::string& option = options.devices;
  const std::vector<wire::Device>& devices = facts.hello.devices;
  std::vector<int> chosen;
  if (option == "auto") {
    for (const wire::Device& device : devices)
      if (!bad_reason(facts, device) && !in_use(facts, device, options)) chosen.push_back(device.index);
    if (!chosen.empty()) return chosen;
    for (const wire::Device& device : devices)
      if (!bad_reason(facts, device))
        throw usage_error(fmt::format("{}; {}", describe_use(facts, device, options),
                                      describe_instead(facts, device, options, devices.size())));
    if (!devices.empty())
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
    if (in_use(facts, *found, options))
      throw usage_error(fmt::format("--devices {}: {}; {}", option, describe_use(facts, *found, options),
                                    describe_instead(facts, *found, options, split(option).size())));
    chosen.push_back(found->index);
  }
  if (chosen.empty())
    throw usage_error(fmt::format("--devices '{}' names no device; use auto, cpu, or a list such as 0,2", option));
  return chosen;
}

/// The UUID of a device, else its index. Indices differ between ranks: where each rank sees only its own GPU, every index is 0.
std::string identity(const RankFacts& facts, int index) {
  for (const wire::Device& device : facts.hello.devices)
    if (device.index == index && !device.uuid.empty()) return device.uuid;
  return std::to_string(index);
}

/// "; left out: GPU-5c… (…)": what `auto` leaves out, for the message when too few are left.
std::string left_out(const RankFacts& facts, const BindingOptions& options) {
  std::string text;
  if (options.devices != "auto") return text;
  for (const wire::Device& device : facts.hello.devices) {
    const std::string* bad = bad_reason(facts, device);
    if (bad == nullptr && !in_use(facts, device, options)) continue;
    text +=
        fmt::format("{}{} ({})", text.empty() ? "; left out: " : ", ", device.uuid,
                    bad != nullptr ? "failed lately: " + *bad
                                   : fmt::format("others use {} of its memory", percent(used_share(facts, device).value_or(0))));
  }
  return text;
}

/// A GPU for each rank of one node, -1 where there is none: the permitted GPU with the fewest users. Ranks with fewer permitted
/// GPUs choose first.
std::vector<int> choose_for_node(const std::vector<RankFacts>& ranks, const std::vector<std::size_t>& members,
                                 const BindingOptions& options) {
  std::vector<std::vector<int>> choices;
  std::vector<std::size_t> order;
  for (std::size_t at = 0; at < members.size(); ++at) {
    choices.push_back(choose_devices(ranks[members[at]], options));
    order.push_back(at);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return choices[a].size() < choices[b].size(); });
  std::map<std::string, int> users;
  for (std::size_t at = 0; at < members.size(); ++at)
    for (const int device : choices[at]) users[identity(ranks[members[at]], device)] = 0;
  std::vector<int> chosen(members.size(), -1);
  for (const std::size_t at : order) {
    const RankFacts& facts = ranks[members[at]];
    for (const int device : choices[at])
      if (chosen[at] < 0 || users[identity(facts, device)] < users[identity(facts, chosen[at])]) chosen[at] = device;
    if (chosen[at] < 0) continue;
    if (++users[identity(facts, chosen[at])] > 1 && !options.oversubscribe) {
      const std::size_t count = users.size();
      throw usage_error(
          fmt::format("{} ranks on host {} but {} to use (--devices {}); start {} a node, or allow sharing with "
                      "--oversubscribe{}",
                      members.size(), facts.join.host, counted(count, "GPU"), options.devices, count, left_out(facts, options)));
    }
  }
  return chosen;
}

const wire::Device* find_device(const RankFacts& facts, int index) {
  for (const wire::Device& device : facts.hello.devices)
    if (device.index == index) return &device;
  return nullptr;
}

/// True when the launcher numbered the ranks of this node 0 … n − 1, in any order. Its numbers are then used, because other tools
/// on the node use them too.
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

std::vector<std::string> describe_left_out(const std::vector<RankFacts>& ranks, const BindingOptions& options) {
  std::vector<std::string> lines;
  if (options.max_gpu_memory > 1 || options.devices == "cpu") return lines;
  std::set<std::pair<std::string, std::string>> told; // ranks of a node see the same GPUs
  for (const RankFacts& facts : ranks)
    for (const wire::Device& device : facts.hello.devices) {
      const std::optional<double> used = used_share(facts, device);
      const bool left_out = options.devices == "auto" && in_use(facts, device, options);
      if ((used && !left_out) || !told.emplace(facts.join.node, device.uuid).second) continue;
      lines.push_back(used ? fmt::format("{}; it is left out", describe_use(facts, device, options))
                           : fmt::format("--max-gpu-memory: what others use of GPU {} ({}) on host {} is not known{}{}",
                                         device.index, device.uuid, facts.join.host,
                                         facts.join.gpu_memory_note.empty() ? "" : ": ", facts.join.gpu_memory_note));
    }
  return lines;
}

std::vector<Binding> bind_devices(const std::vector<RankFacts>& ranks, const BindingOptions& options, const Locality& locality) {
  std::vector<Binding> bindings(ranks.size());
  std::map<std::string, std::vector<std::size_t>> nodes;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    bindings[rank].local_rank = locality.local_rank[rank];
    bindings[rank].local_size = locality.local_size[rank];
    nodes[ranks[rank].join.node].push_back(rank);
  }
  std::set<std::string> cpu_hosts, gpu_hosts;
  for (auto& [node, members] : nodes) {
    std::sort(members.begin(), members.end(),
              [&](std::size_t a, std::size_t b) { return bindings[a].local_rank < bindings[b].local_rank; });
    const std::vector<int> devices =
        options.devices == "cpu" ? std::vector<int>(members.size(), -1) : choose_for_node(ranks, members, options);
    std::vector<CoreClaim> claims;
    for (std::size_t at = 0; at < members.size(); ++at) {
      const RankFacts& facts = ranks[members[at]];
      (devices[at] < 0 ? cpu_hosts : gpu_hosts).insert(facts.join.host);
      const wire::Device* device = find_device(facts, devices[at]);
      claims.push_back({facts.join.cores, device != nullptr ? device->cores : std::vector<std::int32_t>()});
    }
    std::vector<CoreShare> shares = share_cores(claims);
    for (std::size_t at = 0; at < members.size(); ++at) {
      Binding& binding = bindings[members[at]];
      binding.device = devices[at];
      binding.cores = std::move(shares[at].cores);
      binding.threads = options.threads > 0 ? options.threads : shares[at].count;
      // On a GPU rank the cores mostly decode; on a CPU rank decoding and the network share them.
      const int decoding = binding.device >= 0 ? shares[at].count - 1 : shares[at].count;
      binding.loaders = options.loaders > 0 ? options.loaders : std::clamp(decoding, 1, 16);
    }
  }
  if (!cpu_hosts.empty() && !gpu_hosts.empty())
    throw usage_error(
        fmt::format("host {} has no GPU but host {} has; results would differ by device. Use hosts of one kind or --devices cpu",
                    *cpu_hosts.begin(), *gpu_hosts.begin()));
  return bindings;
}

} // namespace mgpu::agent::comm
