#include "agent/comm/core_shares.hpp"

#include <algorithm>
#include <map>

namespace mgpu::agent::comm {

namespace {

using Cores = std::vector<std::int32_t>;

/// Moves up to `wanted` cores of `free` for which `suits` to `share`.
template <typename Suits>
void take(Cores& share, Cores& free, std::size_t wanted, Suits suits) {
  std::erase_if(free, [&](std::int32_t core) {
    if (share.size() >= wanted || !suits(core)) return false;
    share.push_back(core);
    return true;
  });
}

} // namespace

std::vector<CoreShare> share_cores(const std::vector<CoreClaim>& ranks) {
  std::map<Cores, std::vector<std::size_t>> groups;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) groups[ranks[rank].allowed].push_back(rank);
  std::vector<CoreShare> shares(ranks.size());
  for (const auto& group : groups) {
    const Cores& mask = group.first;
    const std::vector<std::size_t>& members = group.second;
    const std::size_t parts = members.size();
    for (const std::size_t rank : members) shares[rank].count = std::max(1, static_cast<int>(mask.size() / parts));
    if (mask.size() < parts) {
      for (const std::size_t rank : members) shares[rank].cores = mask;
      continue;
    }
    Cores free = mask;
    const auto quota = [&](std::size_t part) { return mask.size() * (part + 1) / parts - mask.size() * part / parts; };
    for (std::size_t part = 0; part < parts; ++part) {
      const Cores& near = ranks[members[part]].near;
      take(shares[members[part]].cores, free, quota(part),
           [&](std::int32_t core) { return std::find(near.begin(), near.end(), core) != near.end(); });
    }
    for (std::size_t part = 0; part < parts; ++part) {
      CoreShare& share = shares[members[part]];
      take(share.cores, free, quota(part), [](std::int32_t) { return true; });
      share.count = std::max(1, static_cast<int>(share.cores.size()));
      std::sort(share.cores.begin(), share.cores.end());
    }
  }
  return shares;
}

} // namespace mgpu::agent::comm
