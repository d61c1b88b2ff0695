#pragma once
// The state of every item, kept in memory (16 bytes each) and written to /items at every commit.
#include <cstdint>
#include <vector>

#include "agent/write/hdf5/h5.hpp"
#include "agent/write/hdf5/raw_file.hpp"
#include "mgpu/columns.hpp"

namespace mgpu::agent::write {

class ItemTable {
 public:
  explicit ItemTable(std::uint64_t items);

  /// Creates /items/status, attempts, rank, seconds, flags and crc32c, all pending.
  void create(const h5::Id& items_group);
  /// Opens the datasets that create() made.
  void open(const h5::Id& items_group);
  /// Writes the whole table through `file`; before the first commit.
  void write_all(RawFile& file);

  void set(std::uint64_t item, Status status, std::uint8_t flags, std::uint32_t attempt, std::int32_t rank, float seconds,
           std::uint32_t crc);
  /// For an item that was just set.
  void set_crc(std::uint64_t item, std::uint32_t crc) { crcs_[item] = crc; }
  /// Writes the items that were set since the last call.
  void write_changes(RawFile& file);

  std::uint64_t size() const { return status_.size(); }
  std::uint64_t pending() const { return pending_; }
  Status status(std::uint64_t item) const { return static_cast<Status>(status_[item]); }
  std::uint8_t flags(std::uint64_t item) const { return flags_[item]; }

 private:
  void write_range(RawFile& file, std::uint64_t first, std::uint64_t end);

  std::vector<std::uint8_t> status_, flags_;
  std::vector<std::uint16_t> attempts_;
  std::vector<std::int32_t> rank_;
  std::vector<float> seconds_;
  std::vector<std::uint32_t> crcs_;
  std::uint64_t status_at_ = 0, flags_at_ = 0, attempts_at_ = 0, rank_at_ = 0, seconds_at_ = 0,
                crcs_at_ = 0; ///< bytes in the file
  std::uint64_t pending_;
  std::vector<std::uint32_t> changed_; ///< chunks, each once
  std::vector<std::uint8_t> is_changed_;
};

} // namespace mgpu::agent::write
