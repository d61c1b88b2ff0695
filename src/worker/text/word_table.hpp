#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mgpu::worker::text {

/// From the bytes of a word to its token id. Filled once, then read by many threads. `words` outlives it.
class WordTable {
 public:
  /// `words` [id]; room for `count` of them.
  WordTable(const std::vector<std::string>& words, std::size_t count) : words_(words) {
    std::size_t size = 16;
    while (size < 2 * count) size *= 2;
    slots_.resize(size);
  }

  void add(std::uint32_t id) {
    const std::size_t hash = hash_of(words_[id]);
    std::size_t at = hash & (slots_.size() - 1);
    while (slots_[at].id >= 0) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {static_cast<std::uint32_t>(hash >> 32), static_cast<std::int32_t>(id)};
  }

  /// Id of the word; -1: it is not in the table.
  std::int32_t find(std::string_view word) const {
    const std::size_t hash = hash_of(word);
    for (std::size_t at = hash & (slots_.size() - 1); slots_[at].id >= 0; at = (at + 1) & (slots_.size() - 1))
      if (slots_[at].high == hash >> 32 && words_[static_cast<std::size_t>(slots_[at].id)] == word) return slots_[at].id;
    return -1;
  }

 private:
  struct Slot {
    std::uint32_t high = 0; ///< of the hash; most other words differ in it
    std::int32_t id = -1;
  };
  static std::size_t hash_of(std::string_view word) { return std::hash<std::string_view>()(word); }

  const std::vector<std::string>& words_;
  std::vector<Slot> slots_; ///< a power of two, at most half full
};

} // namespace mgpu::worker::text
