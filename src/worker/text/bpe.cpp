#include "worker/text/bpe.hpp"

#include <algorithm>
#include <functional>
#include <queue>

namespace mgpu::worker::text {

namespace {

constexpr std::size_t short_bytes = 96;
constexpr std::uint32_t nobody = UINT32_MAX;

/// A part of a long word: bytes that have become one token.
struct Part {
  std::uint32_t token = 0;
  std::uint32_t before = nobody, after = nobody; ///< its neighbours
  bool merged = false;                           ///< now belongs to the part before it
};

/// A pair that can be merged, by its rank and its left part: the least of these is the next to merge.
std::uint64_t candidate(std::uint32_t rank, std::uint32_t at) {
  return std::uint64_t{rank} << 32 | at;
}

} // namespace

Bpe::Bpe(const BpeSpec& spec)
    : byte_tokens_(spec.byte_tokens), merges_(spec.merges), bytes_(spec.bytes), whole_words_(bytes_, bytes_.size()) {
  std::vector<std::int64_t> ids;
  for (std::uint32_t id = 0; id < bytes_.size(); ++id) {
    if (bytes_[id].empty() || !spec.of_bytes[id]) continue;
    ids.clear();
    if (!spec.ignore_merges) merge(bytes_[id], ids);
    if (spec.ignore_merges || (ids.size() == 1 && ids[0] == id)) whole_words_.add(id);
  }
}

void Bpe::encode(std::string_view word, std::vector<std::int64_t>& ids) const {
  if (const std::int32_t id = whole_words_.find(word); id >= 0)
    ids.push_back(id);
  else
    merge(word, ids);
}

void Bpe::merge(std::string_view word, std::vector<std::int64_t>& ids) const {
  if (word.size() <= short_bytes)
    merge_short(word, ids);
  else
    merge_long(word, ids);
}

/// Looks through all pairs for each merge: quadratic, but faster than a heap for the words of a text.
void Bpe::merge_short(std::string_view word, std::vector<std::int64_t>& ids) const {
  std::array<std::uint32_t, short_bytes> tokens;
  std::array<std::uint32_t, short_bytes + 1> ranks, results; // [i] of the pair (i, i + 1)
  std::size_t count = word.size();
  const auto look_up = [&](std::size_t i) {
    const MergeTable::Found found = merges_.find(tokens[i], tokens[i + 1]);
    ranks[i] = found.rank;
    results[i] = found.result;
  };
  for (std::size_t i = 0; i < count; ++i) tokens[i] = byte_tokens_[static_cast<std::uint8_t>(word[i])];
  for (std::size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    const auto lowest = std::min_element(ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(count - 1));
    if (*lowest == MergeTable::no_rank) break;
    const auto at = static_cast<std::size_t>(lowest - ranks.begin());
    tokens[at] = results[at];
    --count;
    for (std::size_t i = at + 1; i < count; ++i) {
      tokens[i] = tokens[i + 1];
      ranks[i] = ranks[i + 1];
      results[i] = results[i + 1];
    }
    if (at > 0) look_up(at - 1);
    if (at + 1 < count) look_up(at);
  }
  ids.insert(ids.end(), tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(count));
}

/// A heap of the pairs that can be merged. A pair of which a part has changed since stays in the heap and is passed over: its
/// rank is not that of the pair that stands there now.
void Bpe::merge_long(std::string_view word, std::vector<std::int64_t>& ids) const {
  std::vector<Part> parts(word.size());
  const auto last = static_cast<std::uint32_t>(parts.size() - 1);
  for (std::uint32_t i = 0; i <= last; ++i)
    parts[i] = {byte_tokens_[static_cast<std::uint8_t>(word[i])], i > 0 ? i - 1 : nobody, i < last ? i + 1 : nobody};
  const auto look_up = [&](std::uint32_t at) { return merges_.find(parts[at].token, parts[parts[at].after].token); };

  std::vector<std::uint64_t> candidates;
  for (std::uint32_t at = 0; at < last; ++at)
    if (const auto found = look_up(at); found.rank != MergeTable::no_rank) candidates.push_back(candidate(found.rank, at));
  std::priority_queue<std::uint64_t, std::vector<std::uint64_t>, std::greater<>> heap(std::greater<>(), std::move(candidates));
  const auto offer = [&](std::uint32_t at) {
    if (at == nobody || parts[at].after == nobody) return;
    if (const auto found = look_up(at); found.rank != MergeTable::no_rank) heap.push(candidate(found.rank, at));
  };

  while (!heap.empty()) {
    const auto rank = static_cast<std::uint32_t>(heap.top() >> 32), at = static_cast<std::uint32_t>(heap.top());
    heap.pop();
    Part& left = parts[at];
    if (left.merged || left.after == nobody) continue;
    const MergeTable::Found found = look_up(at);
    if (found.rank != rank) continue;
    Part& right = parts[left.after];
    right.merged = true;
    left.token = found.result;
    left.after = right.after;
    if (left.after != nobody) parts[left.after].before = at;
    offer(left.before);
    offer(at);
  }
  for (std::uint32_t at = 0; at != nobody; at = parts[at].after) ids.push_back(parts[at].token);
}

} // namespace mgpu::worker::text
