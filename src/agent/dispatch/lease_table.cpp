#include "agent/dispatch/lease_table.hpp"

#include <algorithm>

namespace mgpu::agent::dispatch {

void LeaseTable::add(int rank, const Lease& lease) {
  std::deque<Lease>& held = held_[index(rank)];
  if (held.empty()) front_since_[index(rank)] = lease.granted_at_s;
  held.push_back(lease);
  cost_[index(rank)] += lease.cost;
  ++total_;
}

std::optional<Lease> LeaseTable::end(int rank, std::uint64_t batch, std::uint32_t begin, double now_s) {
  std::deque<Lease>& held = held_[index(rank)];
  // Nearly always the front: a worker runs batches in the order granted.
  const auto found =
      std::find_if(held.begin(), held.end(), [=](const Lease& lease) { return lease.batch == batch && lease.begin == begin; });
  if (found == held.end()) return std::nullopt;
  const Lease lease = *found;
  if (found == held.begin()) front_since_[index(rank)] = now_s;
  held.erase(found);
  // Exactly zero when nothing is held: sums of floats would drift over a million leases.
  cost_[index(rank)] = held.empty() ? 0.0 : cost_[index(rank)] - lease.cost;
  --total_;
  return lease;
}

Lease LeaseTable::end_rows(int rank, std::uint64_t batch, std::uint32_t begin, std::uint32_t rows) {
  std::deque<Lease>& held = held_[index(rank)];
  Lease& whole =
      *std::find_if(held.begin(), held.end(), [=](const Lease& lease) { return lease.batch == batch && lease.begin == begin; });
  Lease part = whole;
  part.rows = rows;
  part.cost = whole.cost * rows / whole.rows;
  part.unreadable = std::min(whole.unreadable, rows);
  whole.begin += rows;
  whole.rows -= rows;
  whole.cost -= part.cost;
  whole.unreadable -= part.unreadable;
  cost_[index(rank)] -= part.cost;
  return part;
}

std::uint32_t LeaseTable::rows_of(int rank, std::uint64_t batch, std::uint32_t begin) const {
  for (const Lease& lease : held_[index(rank)])
    if (lease.batch == batch && lease.begin == begin) return lease.rows;
  return 0;
}

bool LeaseTable::holds(int rank, std::uint64_t batch) const {
  return std::any_of(held_[index(rank)].begin(), held_[index(rank)].end(),
                     [=](const Lease& lease) { return lease.batch == batch; });
}

std::vector<Lease> LeaseTable::end_all(int rank) {
  std::deque<Lease>& held = held_[index(rank)];
  std::vector<Lease> leases(held.begin(), held.end());
  total_ -= held.size();
  held.clear();
  cost_[index(rank)] = 0;
  return leases;
}

} // namespace mgpu::agent::dispatch
