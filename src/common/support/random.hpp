#pragma once
#include <cstdint>

namespace mgpu {

/// A bijection of 64 bits with random-looking values (the finaliser of splitmix64, Steele, Lea and Flood 2014).
inline std::uint64_t scramble(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// The seed of element `a` under `seed`; seed_of(seed_of(seed, epoch), item) is the seed of an item in an epoch.
inline std::uint64_t seed_of(std::uint64_t seed, std::uint64_t a) {
  return scramble(scramble(seed + 0x9e3779b97f4a7c15u) ^ (a + 0x9e3779b97f4a7c15u));
}

/// Maps `x`, uniform over 64 bits, to [0, n); n ≥ 1. The bias is below n / 2⁶⁴.
inline std::uint64_t below(std::uint64_t x, std::uint64_t n) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<Wide>(x) * n) >> 64);
}

/// Random numbers that depend only on the seed and on the number of earlier draws: splitmix64. Cheap to make, one for each use.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() { return scramble(state_ += 0x9e3779b97f4a7c15u); }
  /// In [0, n); n ≥ 1.
  std::uint64_t below(std::uint64_t n) { return mgpu::below(next(), n); }
  /// In [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  double uniform(double least, double most) { return least + (most - least) * uniform(); }

 private:
  std::uint64_t state_;
};

} // namespace mgpu
