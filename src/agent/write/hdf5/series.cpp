#include "agent/write/hdf5/series.hpp"

#include "agent/write/hdf5/h5.hpp"
#include "agent/write/hdf5/strings.hpp"

namespace mgpu::agent::write {

namespace {

void write_one(const h5::Id& group, const std::string& name, const std::vector<std::string>& values) {
  StringDataset dataset(group, name, values.size());
  for (const std::string& value : values) dataset.push(value);
  dataset.close();
}

template <typename T>
hid_t file_type() {
  if constexpr (std::is_same_v<T, double>) return H5T_IEEE_F64LE;
  if constexpr (std::is_same_v<T, std::uint64_t>) return H5T_STD_U64LE;
  return H5T_STD_U8LE;
}

template <typename T>
void write_one(const h5::Id& group, const std::string& name, const std::vector<T>& values) {
  const h5::Id type = h5::copy(file_type<T>());
  const hsize_t count = values.size();
  const h5::Id space(H5Screate_simple(1, &count, nullptr), H5Sclose, "H5Screate_simple");
  h5::Id dataset(H5Dcreate2(group.get(), name.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Dclose,
                 "H5Dcreate2");
  if (count > 0) h5::write_rows(dataset, type, 0, count, values.data());
  dataset.close();
}

} // namespace

void write_series(const h5::Id& file, const std::string& name, std::span<const Series> series) {
  const h5::Id group = h5::create_group(file, name);
  for (const Series& each : series) std::visit([&](const auto& values) { write_one(group, each.name, values); }, each.values);
}

} // namespace mgpu::agent::write
