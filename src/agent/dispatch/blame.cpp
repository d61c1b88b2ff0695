#include "agent/dispatch/blame.hpp"

#include <algorithm>

namespace mgpu::agent::dispatch {

namespace {

/// Deaths on a lease of several rows after which it is halved: the first may have an external cause.
constexpr std::uint32_t deaths_before_halving = 2;

Lease part_of(const Lease& lease, std::uint32_t begin, std::uint32_t end) {
  Lease part = lease;
  part.begin = begin;
  part.rows = end - begin;
  part.cost = lease.cost * part.rows / std::max(lease.rows, 1u);
  part.unreadable = std::min(lease.unreadable, part.rows);
  return part;
}

void charge(Lease lease, std::uint32_t retries, Verdict& verdict) {
  ++lease.attempt;
  const std::uint32_t deaths = lease.attempt - 1;
  if (lease.rows == 1 && deaths > retries) {
    verdict.failed.push_back(lease);
  } else if (lease.rows > 1 && deaths >= deaths_before_halving) {
    const std::uint32_t middle = lease.begin + lease.rows / 2;
    verdict.again.push_back(part_of(lease, lease.begin, middle));
    verdict.again.push_back(part_of(lease, middle, lease.begin + lease.rows));
  } else {
    verdict.again.push_back(lease);
  }
}

} // namespace

Verdict judge(const Lease& lease, const Death& death, std::uint32_t retries) {
  const std::uint32_t end = lease.begin + lease.rows;
  std::uint32_t first = end, last = lease.begin; // the suspect rows are [first, last)
  for (const Suspect& suspect : death.suspects) {
    if (suspect.batch != lease.batch) continue;
    const std::uint32_t from = std::max(suspect.begin, lease.begin), to = std::min(suspect.begin + suspect.rows, end);
    if (from >= to) continue;
    first = std::min(first, from);
    last = std::max(last, to);
  }
  Verdict verdict;
  if (first >= last) {
    verdict.again.push_back(lease);
    return verdict;
  }
  if (death.gpu_of >= 0 && death.has_other_gpu && lease.attempt == 1 && (lease.broke_on < 0 || lease.broke_on == death.gpu_of)) {
    verdict.again.push_back(lease);
    verdict.again.back().broke_on = death.gpu_of;
    return verdict;
  }
  Lease charged = lease;
  charged.broke_on = -1;
  if (death.certain && last - first == 1 && lease.rows > 1) {
    if (first > lease.begin) verdict.again.push_back(part_of(charged, lease.begin, first));
    charge(part_of(charged, first, last), retries, verdict);
    if (last < end) verdict.again.push_back(part_of(charged, last, end));
  } else {
    charge(charged, retries, verdict);
  }
  return verdict;
}

} // namespace mgpu::agent::dispatch
