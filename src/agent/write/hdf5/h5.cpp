#include "agent/write/hdf5/h5.hpp"

#include <array>
#include <utility>

#include "mgpu/error.hpp"

namespace mgpu::agent::write::h5 {

namespace {

/// Disables HDF5's cleanup at exit; everything is closed and checked before. The cleanup crashes on a file that could not be
/// closed (a full disk), which would change the exit code. It must be disabled before HDF5 is first used.
[[maybe_unused]] const herr_t no_cleaning_at_exit = H5dont_atexit();

/// The innermost reason in HDF5's error stack; the outer ones only repeat the names of calls.
std::string innermost_reason() {
  std::string reason;
  const auto take = [](unsigned, const H5E_error2_t* entry, void* out) -> herr_t {
    auto& text = *static_cast<std::string*>(out);
    if (text.empty() && entry->desc != nullptr) text = entry->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take, &reason);
  return reason.empty() ? "no reason given" : reason;
}

[[noreturn]] void fail(const char* call) {
  std::string reason = innermost_reason();
  const bool full = reason.find("errno = 28,") != std::string::npos || reason.find("errno = 27,") != std::string::npos ||
                    reason.find("errno = 122,") != std::string::npos; // ENOSPC, EFBIG, EDQUOT
  for (char& c : reason)
    if (c == '\n') c = ' ';
  Error error("HDF5: " + std::string(call) + " failed: " + reason, full ? ExitCode::stopped : ExitCode::failed);
  error.call = call;
  throw error;
}

/// Access properties without file locks: they fail on many parallel file systems and would exclude readers of a running file.
Id file_access() {
  Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "H5Pcreate");
#if H5_VERSION_GE(1, 10, 7)
  check(H5Pset_file_locking(access.get(), false, true), "H5Pset_file_locking");
#endif
  return access;
}

void be_quiet() {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
} // per thread in thread-safe builds, therefore at every open

Id half_type() {
  Id type = copy(H5T_IEEE_F32LE);
  check(H5Tset_fields(type.get(), 15, 10, 5, 0, 10), "H5Tset_fields");
  check(H5Tset_size(type.get(), 2), "H5Tset_size");
  check(H5Tset_ebias(type.get(), 15), "H5Tset_ebias");
  return type;
}

template <typename T>
void add_name(const Id& type, const char* name, T value) {
  check(H5Tenum_insert(type.get(), name, &value), "H5Tenum_insert");
}

/// The type that h5py uses for NumPy's bool.
Id bool_type() {
  Id type(H5Tenum_create(H5T_STD_I8LE), H5Tclose, "H5Tenum_create");
  add_name<std::int8_t>(type, "FALSE", 0);
  add_name<std::int8_t>(type, "TRUE", 1);
  return type;
}

Id scalar_space() {
  return {H5Screate(H5S_SCALAR), H5Sclose, "H5Screate"};
}

Id attribute(const Id& object, const char* name, const Id& type) {
  const htri_t known = H5Aexists(object.get(), name);
  check(known, "H5Aexists");
  if (known > 0) return {H5Aopen(object.get(), name, H5P_DEFAULT), H5Aclose, "H5Aopen"};
  const Id space = scalar_space();
  return {H5Acreate2(object.get(), name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose, "H5Acreate2"};
}

/// Selects rows of a dataset; returns the spaces of file and memory.
std::pair<Id, Id> select_rows(const Id& dataset, hsize_t first, hsize_t count) {
  Shape extent = shape_of(dataset), start(extent.size(), 0);
  Id file(H5Dget_space(dataset.get()), H5Sclose, "H5Dget_space");
  if (!extent.empty()) {
    start[0] = first;
    extent[0] = count;
    check(H5Sselect_hyperslab(file.get(), H5S_SELECT_SET, start.data(), nullptr, extent.data(), nullptr), "H5Sselect_hyperslab");
  }
  Id memory(H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr), H5Sclose, "H5Screate_simple");
  return {std::move(file), std::move(memory)};
}

} // namespace

Id::Id(hid_t id, Close close, const char* call) : id_(id), close_(close) {
  if (id < 0) fail(call);
}

Id::~Id() {
  if (id_ >= 0) close_(id_);
}

Id& Id::operator=(Id&& other) noexcept {
  if (this != &other) {
    if (id_ >= 0) close_(id_);
    id_ = std::exchange(other.id_, H5I_INVALID_HID);
    close_ = other.close_;
  }
  return *this;
}

void Id::close() {
  if (id_ < 0) return;
  check(close_(std::exchange(id_, H5I_INVALID_HID)), "closing");
}

void check(herr_t status, const char* call) {
  if (status < 0) fail(call);
}

Id create_file(const std::string& path) {
  be_quiet();
  const Id access = file_access();
  return {H5Fcreate(path.c_str(), H5F_ACC_EXCL, H5P_DEFAULT, access.get()), H5Fclose, "H5Fcreate"};
}

Id open_file(const std::string& path, bool writable) {
  be_quiet();
  const Id access = file_access();
  return {H5Fopen(path.c_str(), writable ? H5F_ACC_RDWR : H5F_ACC_RDONLY, access.get()), H5Fclose, "H5Fopen"};
}

Id create_group(const Id& parent, const std::string& name) {
  return {H5Gcreate2(parent.get(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose, "H5Gcreate2"};
}

Id open_group(const Id& parent, const std::string& name) {
  return {H5Gopen2(parent.get(), name.c_str(), H5P_DEFAULT), H5Gclose, "H5Gopen2"};
}

bool exists(const Id& parent, const std::string& name) {
  const htri_t found = H5Lexists(parent.get(), name.c_str(), H5P_DEFAULT);
  check(found, "H5Lexists");
  return found > 0;
}

std::vector<std::string> names_in(const Id& group) {
  std::vector<std::string> names;
  const auto take = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  check(H5Literate(group.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, take, &names), "H5Literate");
  return names;
}

bool is_dataset(const Id& parent, const std::string& path) {
  // Checks each part of the path: HDF5 checks only the last one, and a link may be dangling.
  for (std::size_t slash = 0; slash != std::string::npos;) {
    slash = path.find('/', slash + 1);
    const std::string part = path.substr(0, slash);
    if (H5Lexists(parent.get(), part.c_str(), H5P_DEFAULT) <= 0) return false;
    if (H5Oexists_by_name(parent.get(), part.c_str(), H5P_DEFAULT) <= 0) return false;
    const Id object(H5Oopen(parent.get(), part.c_str(), H5P_DEFAULT), H5Oclose, "H5Oopen");
    if (slash == std::string::npos) return H5Iget_type(object.get()) == H5I_DATASET;
    if (H5Iget_type(object.get()) != H5I_GROUP) return false;
  }
  return false;
}

Id copy(hid_t type) {
  return {H5Tcopy(type), H5Tclose, "H5Tcopy"};
}

Id type_of(DType type) {
  switch (type) {
    case DType::uint8:
      return copy(H5T_STD_U8LE);
    case DType::int8:
      return copy(H5T_STD_I8LE);
    case DType::int16:
      return copy(H5T_STD_I16LE);
    case DType::int32:
      return copy(H5T_STD_I32LE);
    case DType::int64:
      return copy(H5T_STD_I64LE);
    case DType::float16:
      return half_type();
    case DType::float32:
      return copy(H5T_IEEE_F32LE);
    case DType::float64:
      return copy(H5T_IEEE_F64LE);
    case DType::boolean:
      return bool_type();
  }
  throw Error("HDF5: a column of an unknown type");
}

std::optional<DType> dtype_of(const Id& type) {
  constexpr std::array all{DType::uint8,   DType::int8,    DType::int16,   DType::int32,  DType::int64,
                           DType::float16, DType::float32, DType::float64, DType::boolean};
  for (const DType candidate : all) {
    const htri_t equal = H5Tequal(type.get(), type_of(candidate).get());
    check(equal, "H5Tequal");
    if (equal > 0) return candidate;
  }
  return std::nullopt;
}

Id utf8_string() {
  Id type = copy(H5T_C_S1);
  check(H5Tset_size(type.get(), H5T_VARIABLE), "H5Tset_size");
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "H5Tset_cset");
  return type;
}

Id status_type() {
  Id type(H5Tenum_create(H5T_STD_U8LE), H5Tclose, "H5Tenum_create");
  add_name(type, "pending", Status::pending);
  add_name(type, "ok", Status::ok);
  add_name(type, "failed", Status::failed);
  return type;
}

Id create_contiguous(const Id& parent, const std::string& name, const Id& type, const Shape& shape) {
  const Id space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose, "H5Screate_simple");
  const Id create(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "H5Pcreate");
  check(H5Pset_layout(create.get(), H5D_CONTIGUOUS), "H5Pset_layout");
  check(H5Pset_alloc_time(create.get(), H5D_ALLOC_TIME_EARLY), "H5Pset_alloc_time");
  // Strings need the fill (their references would be garbage); all numbers are written by this program.
  const bool numbers = H5Tdetect_class(type.get(), H5T_STRING) == 0;
  if (numbers) check(H5Pset_fill_time(create.get(), H5D_FILL_TIME_NEVER), "H5Pset_fill_time");
  return {H5Dcreate2(parent.get(), name.c_str(), type.get(), space.get(), H5P_DEFAULT, create.get(), H5P_DEFAULT), H5Dclose,
          "H5Dcreate2"};
}

std::optional<std::uint64_t> offset_of(const Id& dataset) {
  const haddr_t offset = H5Dget_offset(dataset.get());
  if (offset == HADDR_UNDEF) return std::nullopt;
  return offset;
}

Id open_dataset(const Id& parent, const std::string& name) {
  return {H5Dopen2(parent.get(), name.c_str(), H5P_DEFAULT), H5Dclose, "H5Dopen2"};
}

Shape shape_of(const Id& dataset) {
  const Id space(H5Dget_space(dataset.get()), H5Sclose, "H5Dget_space");
  const int rank = H5Sget_simple_extent_ndims(space.get());
  check(rank, "H5Sget_simple_extent_ndims");
  Shape shape(static_cast<std::size_t>(rank));
  check(H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr), "H5Sget_simple_extent_dims");
  return shape;
}

Id type_in(const Id& dataset) {
  return {H5Dget_type(dataset.get()), H5Tclose, "H5Dget_type"};
}

void read_rows(const Id& dataset, const Id& type, hsize_t first, hsize_t count, void* out) {
  const auto [file, memory] = select_rows(dataset, first, count);
  check(H5Dread(dataset.get(), type.get(), memory.get(), file.get(), H5P_DEFAULT, out), "H5Dread");
}

void write_rows(const Id& dataset, const Id& type, hsize_t first, hsize_t count, const void* in) {
  const auto [file, memory] = select_rows(dataset, first, count);
  check(H5Dwrite(dataset.get(), type.get(), memory.get(), file.get(), H5P_DEFAULT, in), "H5Dwrite");
}

void reclaim_strings(const Id& type, std::span<char*> strings) {
  const hsize_t count = strings.size();
  const Id space(H5Screate_simple(1, &count, nullptr), H5Sclose, "H5Screate_simple");
  check(H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, strings.data()), "H5Dvlen_reclaim");
}

void set_attribute(const Id& object, const char* name, const std::string& text) {
  const Id type = utf8_string(), target = attribute(object, name, type);
  const char* pointer = text.c_str();
  check(H5Awrite(target.get(), type.get(), &pointer), "H5Awrite");
}

void set_attribute(const Id& object, const char* name, std::int32_t value) {
  const Id type = copy(H5T_STD_I32LE), target = attribute(object, name, type);
  check(H5Awrite(target.get(), type.get(), &value), "H5Awrite");
}

void set_attribute(const Id& object, const char* name, std::int64_t value) {
  const Id type = copy(H5T_STD_I64LE), target = attribute(object, name, type);
  check(H5Awrite(target.get(), type.get(), &value), "H5Awrite");
}

void set_position(const Id& column, std::size_t index) {
  set_attribute(column, "position", static_cast<std::int32_t>(index) + 1);
}

std::string text_attribute(const Id& object, const char* name) {
  if (H5Aexists(object.get(), name) <= 0) return {};
  const Id source(H5Aopen(object.get(), name, H5P_DEFAULT), H5Aclose, "H5Aopen");
  const Id type(H5Aget_type(source.get()), H5Tclose, "H5Aget_type");
  if (H5Tis_variable_str(type.get()) <= 0) return {};
  const Id wanted = utf8_string();
  char* text = nullptr;
  check(H5Aread(source.get(), wanted.get(), &text), "H5Aread");
  std::string out = text == nullptr ? "" : text;
  H5free_memory(text);
  return out;
}

std::int64_t number_attribute(const Id& object, const char* name) {
  if (H5Aexists(object.get(), name) <= 0) return 0;
  const Id source(H5Aopen(object.get(), name, H5P_DEFAULT), H5Aclose, "H5Aopen");
  std::int64_t value = 0;
  check(H5Aread(source.get(), H5T_NATIVE_INT64, &value), "H5Aread");
  return value;
}

} // namespace mgpu::agent::write::h5
