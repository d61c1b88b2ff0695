#pragma once
// --shard I/N: the share of a manifest that one of N runs processes. It is cut at whole batches of the whole manifest, so that a shard has the
// batches, and therefore the bits, of the run without --shard.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mgpu::agent::manifest {

/// Shard `index` of `count`, counted from 1.
struct Shard {
  static constexpr std::uint32_t most = 1'000'000; ///< shards of one run

  std::uint32_t index = 1, count = 1;

  /// The shard that `text` ("2/3") names; nullopt for "". Throws usage_error with what to type instead.
  static std::optional<Shard> parse(std::string_view text);
  /// "2/3".
  std::string text() const;
  bool operator==(const Shard&) const = default;
};

/// Items [first, first + count).
struct ItemSpan {
  std::uint64_t first = 0, count = 0;
  bool operator==(const ItemSpan&) const = default;
};

/// The span of a shard of a manifest of `items` items with batches of `batch_size` (at least 1): whole batches, except for the manifest's last one.
/// The numbers of batches of two shards differ by at most 1; with more shards than batches some shards are empty.
ItemSpan items_of(const Shard& shard, std::uint64_t items, std::uint32_t batch_size);

} // namespace mgpu::agent::manifest
