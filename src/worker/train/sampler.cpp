#include "worker/train/sampler.hpp"

#include <algorithm>
#include <cmath>

#include "common/support/random.hpp"
#include "common/support/stage_plan.hpp"
#include "mgpu/error.hpp"

namespace mgpu::worker::train {

namespace {

// The uses of a seed; each use has its own random numbers.
enum Use : std::uint64_t { use_subset = 1, use_order = 2, use_visit = 3 };

} // namespace

Permutation::Permutation(std::uint64_t size, std::uint64_t key) : size_(size), rounds_() {
  Random random(key);
  for (Round& round : rounds_) round = {size > 0 ? random.below(size) : 0, random.next()};
}

std::uint64_t Permutation::operator()(std::uint64_t position) const {
  for (const Round& round : rounds_) {
    const std::uint64_t image = round.mirror >= position ? round.mirror - position : round.mirror + size_ - position;
    const std::uint64_t pair = std::max(position, image);
    if ((scramble(pair ^ round.key) & 1u) != 0) position = image;
  }
  return position;
}

Range share(std::uint64_t samples, std::uint64_t rank, std::uint64_t world) {
  __extension__ using Wide = unsigned __int128; // rank · samples may not fit in 64 bits
  const auto edge = [&](std::uint64_t r) { return static_cast<std::uint64_t>(static_cast<Wide>(r) * samples / world); };
  return {edge(rank), edge(rank + 1)};
}

Sampler::Sampler(std::uint64_t items, std::uint64_t seed, bool shuffle, double fraction)
    : seed_(seed),
      shuffle_(shuffle),
      size_(subset_size(items, fraction)),
      subset_(items, seed_of(seed, use_subset)),
      whole_(size_ == items) {
  if (shuffle || whole_) return;
  ascending_.resize(size_);
  for (std::uint64_t i = 0; i < size_; ++i) ascending_[i] = subset_(i);
  std::sort(ascending_.begin(), ascending_.end());
}

std::uint64_t Sampler::order(std::uint64_t epoch, std::uint64_t position) const {
  if (!shuffle_) return whole_ ? position : ascending_[position];
  const std::uint64_t place = Permutation(size_, seed_of(seed_of(seed_, use_order), epoch))(position);
  return whole_ ? place : subset_(place);
}

std::uint64_t visit_seed(std::uint64_t seed, std::uint64_t epoch, std::uint64_t item) {
  return seed_of(seed_of(seed_of(seed, use_visit), epoch), item);
}

} // namespace mgpu::worker::train
