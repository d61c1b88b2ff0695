#include "agent/write/hdf5/telemetry.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace mgpu::agent::write {

namespace {

/// A row as HDF5 sees it.
struct FileRow {
  double time_s;
  std::int32_t rank;
  std::array<char, 48> uuid; ///< ends with zeros; those of GPUs and MIG slices have 40 characters
  TelemetryRow values;
};

h5::Id uuid_type() {
  h5::Id type = h5::copy(H5T_C_S1);
  h5::check(H5Tset_size(type.get(), sizeof(FileRow::uuid)), "H5Tset_size");
  h5::check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "H5Tset_strpad");
  return type;
}

h5::Id state_type() {
  h5::Id type(H5Tenum_create(H5T_STD_U8LE), H5Tclose, "H5Tenum_create");
  constexpr std::array<const char*, 3> names{"fine", "held", "drained"}; // wire::GpuState
  for (std::size_t at = 0; at < names.size(); ++at) {
    const auto value = static_cast<std::uint8_t>(at);
    h5::check(H5Tenum_insert(type.get(), names[at], &value), "H5Tenum_insert");
  }
  return type;
}

h5::Id row_type() {
  h5::Id type(H5Tcreate(H5T_COMPOUND, sizeof(FileRow)), H5Tclose, "H5Tcreate");
  const auto insert = [&](const char* name, std::size_t offset, hid_t member) {
    h5::check(H5Tinsert(type.get(), name, offset, member), "H5Tinsert");
  };
  const h5::Id uuid = uuid_type(), state = state_type();
  constexpr std::size_t values = offsetof(FileRow, values);
  insert("time_s", offsetof(FileRow, time_s), H5T_IEEE_F64LE);
  insert("rank", offsetof(FileRow, rank), H5T_STD_I32LE);
  insert("uuid", offsetof(FileRow, uuid), uuid.get());
  insert("temperature_c", values + offsetof(TelemetryRow, temperature_c), H5T_IEEE_F32LE);
  insert("memory_used_bytes", values + offsetof(TelemetryRow, memory_used_bytes), H5T_STD_I64LE);
  insert("memory_total_bytes", values + offsetof(TelemetryRow, memory_total_bytes), H5T_STD_I64LE);
  insert("utilization_percent", values + offsetof(TelemetryRow, utilization_percent), H5T_IEEE_F32LE);
  insert("power_w", values + offsetof(TelemetryRow, power_w), H5T_IEEE_F32LE);
  insert("sm_clock_mhz", values + offsetof(TelemetryRow, sm_clock_mhz), H5T_IEEE_F32LE);
  insert("throttle_reasons", values + offsetof(TelemetryRow, throttle_reasons), H5T_STD_I64LE);
  insert("uncorrected_ecc", values + offsetof(TelemetryRow, uncorrected_ecc), H5T_STD_I64LE);
  insert("remap_pending", values + offsetof(TelemetryRow, remap_pending), H5T_STD_I8LE);
  insert("remap_failed", values + offsetof(TelemetryRow, remap_failed), H5T_STD_I8LE);
  insert("xid", values + offsetof(TelemetryRow, xid), H5T_STD_U32LE);
  insert("state", values + offsetof(TelemetryRow, state), state.get());
  return type;
}

} // namespace

void write_telemetry(const h5::Id& file, std::span<const GpuTelemetry> gpus) {
  hsize_t rows = 0;
  for (const GpuTelemetry& gpu : gpus) rows += gpu.rows.size();
  if (rows == 0) return;
  const h5::Id memory_type = row_type();
  const h5::Id file_type = h5::copy(memory_type.get());
  h5::check(H5Tpack(file_type.get()), "H5Tpack");
  const h5::Id space(H5Screate_simple(1, &rows, nullptr), H5Sclose, "H5Screate_simple");
  h5::Id dataset(H5Dcreate2(file.get(), "telemetry", file_type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                 H5Dclose, "H5Dcreate2");
  hsize_t first = 0;
  for (const GpuTelemetry& gpu : gpus) {
    std::vector<FileRow> table;
    for (const TelemetryRow& row : gpu.rows) {
      FileRow& next = table.emplace_back(FileRow{row.time_s, gpu.rank, {}, row});
      std::copy_n(gpu.uuid.begin(), std::min(gpu.uuid.size(), next.uuid.size()), next.uuid.begin());
    }
    if (!table.empty()) h5::write_rows(dataset, memory_type, first, table.size(), table.data());
    first += table.size();
  }
  dataset.close();
}

} // namespace mgpu::agent::write
