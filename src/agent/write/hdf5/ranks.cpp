#include "agent/write/hdf5/ranks.hpp"

#include <cstddef>

namespace mgpu::agent::write {

namespace {

/// A row in memory, for HDF5.
struct TableRow {
  std::int32_t rank;
  char *host, *device, *uuid;
  std::uint64_t items, failed, batches;
  double busy_s, load_wait_s, write_wait_s, grant_wait_s, load_s, wall_s, open_s;
  double forward_s, backward_s, reduce_wait_s, update_s;
  std::uint64_t memory_bytes;
};

h5::Id table_type() {
  h5::Id type(H5Tcreate(H5T_COMPOUND, sizeof(TableRow)), H5Tclose, "H5Tcreate");
  const h5::Id text = h5::utf8_string();
  const auto insert = [&](const char* name, std::size_t offset, hid_t member) {
    h5::check(H5Tinsert(type.get(), name, offset, member), "H5Tinsert");
  };
  insert("rank", offsetof(TableRow, rank), H5T_STD_I32LE);
  insert("host", offsetof(TableRow, host), text.get());
  insert("device", offsetof(TableRow, device), text.get());
  insert("uuid", offsetof(TableRow, uuid), text.get());
  insert("items", offsetof(TableRow, items), H5T_STD_U64LE);
  insert("failed", offsetof(TableRow, failed), H5T_STD_U64LE);
  insert("batches", offsetof(TableRow, batches), H5T_STD_U64LE);
  insert("busy_s", offsetof(TableRow, busy_s), H5T_IEEE_F64LE);
  insert("load_wait_s", offsetof(TableRow, load_wait_s), H5T_IEEE_F64LE);
  insert("write_wait_s", offsetof(TableRow, write_wait_s), H5T_IEEE_F64LE);
  insert("grant_wait_s", offsetof(TableRow, grant_wait_s), H5T_IEEE_F64LE);
  insert("load_s", offsetof(TableRow, load_s), H5T_IEEE_F64LE);
  insert("wall_s", offsetof(TableRow, wall_s), H5T_IEEE_F64LE);
  insert("open_s", offsetof(TableRow, open_s), H5T_IEEE_F64LE);
  insert("forward_s", offsetof(TableRow, forward_s), H5T_IEEE_F64LE);
  insert("backward_s", offsetof(TableRow, backward_s), H5T_IEEE_F64LE);
  insert("reduce_wait_s", offsetof(TableRow, reduce_wait_s), H5T_IEEE_F64LE);
  insert("update_s", offsetof(TableRow, update_s), H5T_IEEE_F64LE);
  insert("memory_bytes", offsetof(TableRow, memory_bytes), H5T_STD_U64LE);
  return type;
}

char* pointer_to(const std::string& text) {
  return const_cast<char*>(text.c_str());
} // HDF5 does not modify the text that it writes

} // namespace

void write_ranks(const h5::Id& file, std::span<const RankRow> rows) {
  const h5::Id memory_type = table_type();
  const h5::Id file_type = h5::copy(memory_type.get());
  h5::check(H5Tpack(file_type.get()), "H5Tpack");
  std::vector<TableRow> table;
  for (const RankRow& row : rows)
    table.push_back({row.rank, pointer_to(row.host), pointer_to(row.device), pointer_to(row.uuid), row.items, row.failed,
                     row.batches, row.busy_s, row.load_wait_s, row.write_wait_s, row.grant_wait_s, row.load_s, row.wall_s,
                     row.open_s, row.forward_s, row.backward_s, row.reduce_wait_s, row.update_s, row.memory_bytes});
  const h5::Shape shape{rows.size()};
  const h5::Id space(H5Screate_simple(1, shape.data(), nullptr), H5Sclose, "H5Screate_simple");
  h5::Id dataset(H5Dcreate2(file.get(), "ranks", file_type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Dclose,
                 "H5Dcreate2");
  if (!table.empty()) h5::write_rows(dataset, memory_type, 0, table.size(), table.data());
  dataset.close();
}

std::vector<RankRow> read_ranks(const h5::Id& file) {
  if (!h5::exists(file, "ranks")) return {};
  const h5::Id dataset = h5::open_dataset(file, "ranks"), type = table_type();
  std::vector<TableRow> table(h5::shape_of(dataset).at(0));
  if (table.empty()) return {};
  h5::read_rows(dataset, type, 0, table.size(), table.data());
  std::vector<RankRow> rows;
  const auto text = [](const char* pointer) { return std::string(pointer == nullptr ? "" : pointer); };
  for (const TableRow& row : table)
    rows.push_back({row.rank, text(row.host), text(row.device), text(row.uuid), row.items, row.failed, row.batches, row.busy_s,
                    row.load_wait_s, row.write_wait_s, row.grant_wait_s, row.load_s, row.wall_s, row.open_s, row.forward_s,
                    row.backward_s, row.reduce_wait_s, row.update_s, row.memory_bytes});
  const hsize_t count = table.size();
  const h5::Id space(H5Screate_simple(1, &count, nullptr), H5Sclose, "H5Screate_simple");
  h5::check(H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, table.data()), "H5Dvlen_reclaim");
  return rows;
}

} // namespace mgpu::agent::write
