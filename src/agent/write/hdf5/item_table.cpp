#include "agent/write/hdf5/item_table.hpp"

#include <algorithm>
#include <limits>

namespace mgpu::agent::write {

namespace {

constexpr std::uint64_t chunk_items = 4096; // a page of status bytes: smaller writes cost as much

std::uint64_t array_at(const h5::Id& dataset, const char* name, std::uint64_t items) {
  const auto offset = h5::offset_of(dataset);
  if (items == 0) return 0; // a shard without items: no bytes, no place
  if (!offset) throw Error(std::string("HDF5: no room was allocated for /items/") + name);
  return *offset;
}

std::uint64_t create_array(const h5::Id& group, const char* name, const h5::Id& type, std::uint64_t items) {
  return array_at(h5::create_contiguous(group, name, type, {items}), name, items);
}

template <typename T>
void write_array(RawFile& file, std::uint64_t at, const std::vector<T>& values, std::uint64_t first, std::uint64_t end) {
  file.write_at(at + first * sizeof(T), std::as_bytes(std::span(values).subspan(first, end - first)));
}

} // namespace

ItemTable::ItemTable(std::uint64_t items)
    : status_(items),
      flags_(items),
      attempts_(items),
      rank_(items, -1),
      seconds_(items),
      crcs_(items),
      pending_(items),
      is_changed_(items / chunk_items + 1) {}

void ItemTable::create(const h5::Id& group) {
  status_at_ = create_array(group, "status", h5::status_type(), size());
  flags_at_ = create_array(group, "flags", h5::type_of(DType::uint8), size());
  attempts_at_ = create_array(group, "attempts", h5::copy(H5T_STD_U16LE), size());
  rank_at_ = create_array(group, "rank", h5::type_of(DType::int32), size());
  seconds_at_ = create_array(group, "seconds", h5::type_of(DType::float32), size());
  crcs_at_ = create_array(group, "crc32c", h5::copy(H5T_STD_U32LE), size());
}

void ItemTable::open(const h5::Id& group) {
  const auto find = [&](const char* name) {
    const h5::Id dataset = h5::open_dataset(group, name);
    if (h5::shape_of(dataset) != h5::Shape{size()})
      throw Error(std::string("HDF5: another length than the journal says: /items/") + name);
    return array_at(dataset, name, size());
  };
  status_at_ = find("status");
  flags_at_ = find("flags");
  attempts_at_ = find("attempts");
  rank_at_ = find("rank");
  seconds_at_ = find("seconds");
  crcs_at_ = find("crc32c");
}

void ItemTable::write_all(RawFile& file) {
  write_range(file, 0, size());
}

void ItemTable::set(std::uint64_t item, Status status, std::uint8_t flags, std::uint32_t attempt, std::int32_t rank,
                    float seconds, std::uint32_t crc) {
  pending_ += (status == Status::pending ? 1 : 0) - (this->status(item) == Status::pending ? 1 : 0);
  status_[item] = static_cast<std::uint8_t>(status);
  flags_[item] = flags;
  attempts_[item] = static_cast<std::uint16_t>(std::min<std::uint32_t>(attempt, std::numeric_limits<std::uint16_t>::max()));
  rank_[item] = rank;
  seconds_[item] = seconds;
  crcs_[item] = crc;
  const auto chunk = static_cast<std::uint32_t>(item / chunk_items);
  if (!is_changed_[chunk]) {
    is_changed_[chunk] = 1;
    changed_.push_back(chunk);
  }
}

void ItemTable::write_changes(RawFile& file) {
  std::sort(changed_.begin(), changed_.end());
  for (std::size_t i = 0; i < changed_.size();) {
    std::size_t next = i + 1;
    while (next < changed_.size() && changed_[next] == changed_[next - 1] + 1) ++next;
    write_range(file, changed_[i] * chunk_items, std::min((changed_[next - 1] + 1) * chunk_items, size()));
    i = next;
  }
  for (const std::uint32_t chunk : changed_) is_changed_[chunk] = 0;
  changed_.clear();
}

void ItemTable::write_range(RawFile& file, std::uint64_t first, std::uint64_t end) {
  write_array(file, attempts_at_, attempts_, first, end);
  write_array(file, rank_at_, rank_, first, end);
  write_array(file, seconds_at_, seconds_, first, end);
  write_array(file, crcs_at_, crcs_, first, end);
  write_array(file, flags_at_, flags_, first, end);
  write_array(file, status_at_, status_, first, end); // last: it makes the others valid
}

} // namespace mgpu::agent::write
