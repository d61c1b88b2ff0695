#include "agent/write/hdf5/telemetry.hpp"

#include <gmock/gmock.h>

#include <array>
#include <limits>

#include "agent/write/samples.hpp"

namespace mgpu::agent::write::test {
namespace {

std::string write_file(const Folder& folder, std::vector<GpuTelemetry> telemetry) {
  const std::string path = folder / "out.h5";
  const auto file = ResultFile::create(path, some_manifest(folder, 3), some_header());
  Footer footer;
  footer.complete = false;
  footer.telemetry = std::move(telemetry);
  file->finish(footer);
  return path;
}

/// A member of the table, all rows, as T.
template <typename T>
std::vector<T> column(const std::string& path, const char* name, hid_t type) {
  const ReadFile file(path);
  const h5::Id dataset = h5::open_dataset(file.file(), "telemetry");
  const h5::Id member(H5Tcreate(H5T_COMPOUND, sizeof(T)), H5Tclose, "H5Tcreate");
  h5::check(H5Tinsert(member.get(), name, 0, type), "H5Tinsert");
  std::vector<T> values(h5::shape_of(dataset).at(0));
  h5::read_rows(dataset, member, 0, values.size(), values.data());
  return values;
}

TEST(Telemetry, RowsComeBackGpuAfterGpu) {
  const Folder folder;
  TelemetryRow hot;
  hot.time_s = 5.5;
  hot.temperature_c = 91;
  hot.power_w = 699.5F;
  hot.memory_used_bytes = 80'000'000'000;
  hot.throttle_reasons = 0x40;
  hot.uncorrected_ecc = 2;
  hot.remap_failed = 1;
  hot.state = 1;
  hot.xid = 79;
  TelemetryRow unknown;
  unknown.temperature_c = std::numeric_limits<float>::quiet_NaN();
  const std::string path =
      write_file(folder, {{0, "GPU-0000", {hot, unknown}}, {1, "GPU-none", {}}, {3, std::string(60, 'x'), {hot}}});
  EXPECT_THAT(column<std::int32_t>(path, "rank", H5T_NATIVE_INT32), testing::ElementsAre(0, 0, 3));
  EXPECT_THAT(column<double>(path, "time_s", H5T_NATIVE_DOUBLE), testing::ElementsAre(5.5, 0, 5.5));
  const auto heat = column<float>(path, "temperature_c", H5T_NATIVE_FLOAT);
  EXPECT_EQ(heat[0], 91);
  EXPECT_TRUE(std::isnan(heat[1]));
  EXPECT_EQ(column<float>(path, "power_w", H5T_NATIVE_FLOAT)[2], 699.5F);
  EXPECT_THAT(column<std::int64_t>(path, "memory_used_bytes", H5T_NATIVE_INT64),
              testing::ElementsAre(80'000'000'000, -1, 80'000'000'000));
  EXPECT_THAT(column<std::int64_t>(path, "throttle_reasons", H5T_NATIVE_INT64), testing::ElementsAre(0x40, -1, 0x40));
  EXPECT_THAT(column<std::int64_t>(path, "uncorrected_ecc", H5T_NATIVE_INT64), testing::ElementsAre(2, -1, 2));
  EXPECT_THAT(column<std::int8_t>(path, "remap_failed", H5T_NATIVE_INT8), testing::ElementsAre(1, -1, 1));
  EXPECT_THAT(column<std::uint32_t>(path, "xid", H5T_NATIVE_UINT32), testing::ElementsAre(79U, 0U, 79U));
  const h5::Id text = h5::copy(H5T_C_S1);
  h5::check(H5Tset_size(text.get(), 64), "H5Tset_size");
  const auto uuids = column<std::array<char, 64>>(path, "uuid", text.get());
  EXPECT_STREQ(uuids[0].data(), "GPU-0000");
  EXPECT_EQ(std::string(uuids[2].data()), std::string(48, 'x')) << "cut, not written beyond its end";
}

TEST(Telemetry, WithoutGpusThereIsNone) {
  const Folder folder;
  EXPECT_FALSE(h5::exists(ReadFile(write_file(folder, {{0, "GPU-0000", {}}})).file(), "telemetry"));
}

} // namespace
} // namespace mgpu::agent::write::test
