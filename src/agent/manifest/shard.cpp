#include "agent/manifest/shard.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "agent/manifest/text.hpp"
#include "common/support/text.hpp"
#include "mgpu/error.hpp"

namespace mgpu::agent::manifest {

std::optional<Shard> Shard::parse(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const std::size_t slash = text.find('/');
  std::uint64_t index = 0, count = 0; // parse_number takes no sign for these
  const bool numbers = slash != std::string_view::npos && parse_number(text.substr(0, slash), index) &&
                       parse_number(text.substr(slash + 1), count);
  if (!numbers || count == 0)
    throw usage_error(
        fmt::format("--shard {}: give I/N for share I of N, for example --shard 1/3 (in an array of SLURM with --array=1-3: "
                    "--shard $SLURM_ARRAY_TASK_ID/3)",
                    shown(text)));
  if (count > most) throw usage_error(fmt::format("--shard {}: more than {} shards", text, most));
  if (index == 0)
    throw usage_error(
        fmt::format("--shard {0}: shards are counted from 1; give --shard 1/{1} to {1}/{1} (SLURM: --array=1-{1})", text, count));
  if (index > count)
    throw usage_error(
        fmt::format("--shard {0}: there are {1} shard(s); give --shard 1/{1} to {1}/{1} (SLURM: --array=1-{1})", text, count));
  return Shard{static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(count)};
}

std::string Shard::text() const {
  return fmt::format("{}/{}", index, count);
}

ItemSpan items_of(const Shard& shard, std::uint64_t items, std::uint32_t batch_size) {
  const std::uint64_t batches = items / batch_size + (items % batch_size != 0 ? 1 : 0);
  // The first batches % count shards have a batch more: no product that could overflow.
  const std::uint64_t share = batches / shard.count, rest = batches % shard.count, before = shard.index - 1;
  const std::uint64_t first = before * share + std::min(before, rest);
  const std::uint64_t end = first + share + (before < rest ? 1 : 0);
  const auto item = [&](std::uint64_t batch) { return batch == batches ? items : batch * batch_size; };
  return {item(first), item(end) - item(first)};
}

} // namespace mgpu::agent::manifest
