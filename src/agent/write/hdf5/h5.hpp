#pragma once
// The HDF5 C API. Each call is wrapped once: a failure throws mgpu::Error with the name of the call and HDF5's reason, and every
// id has one owner. HDF5 itself prints nothing.
#include <hdf5.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mgpu/columns.hpp"

namespace mgpu::agent::write::h5 {

/// Owner of one HDF5 id. close() throws, the destructor does not.
class Id {
 public:
  using Close = herr_t (*)(hid_t);
  Id() = default;
  /// Takes the id that `call` returned; throws if it is invalid.
  Id(hid_t id, Close close, const char* call);
  ~Id();
  Id(Id&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Id& operator=(Id&& other) noexcept;
  hid_t get() const { return id_; }
  explicit operator bool() const { return id_ >= 0; }
  void close();

 private:
  hid_t id_ = H5I_INVALID_HID;
  Close close_ = nullptr;
};

/// Throws Error when `status`, returned by `call`, is negative; ExitCode::stopped when the disk is full.
void check(herr_t status, const char* call);

/// Creates a file; fails if anything (a symbolic link, too) is at `path`.
Id create_file(const std::string& path);
Id open_file(const std::string& path, bool writable);
Id create_group(const Id& parent, const std::string& name);
Id open_group(const Id& parent, const std::string& name);
bool exists(const Id& parent, const std::string& name);
/// Names of the members of a group, in HDF5's order (by name).
std::vector<std::string> names_in(const Id& group);
/// Whether `path` below `parent` is a dataset; false for a dangling link.
bool is_dataset(const Id& parent, const std::string& path);

/// Type of a column's elements in the file; also right for memory, as files are little-endian like every machine with a GPU.
Id type_of(DType type);
/// The DType of a type in the file; nullopt if there is none.
std::optional<DType> dtype_of(const Id& type);
Id utf8_string();
/// uint8 with the names of mgpu::Status.
Id status_type();
Id copy(hid_t type);

using Shape = std::vector<hsize_t>;

/// Contiguous, allocated at once and not filled with a value, so that rows can be written at offset_of() without HDF5.
Id create_contiguous(const Id& parent, const std::string& name, const Id& type, const Shape& shape);
/// File offset of a contiguous dataset; nullopt for one without bytes.
std::optional<std::uint64_t> offset_of(const Id& dataset);
Id open_dataset(const Id& parent, const std::string& name);
Shape shape_of(const Id& dataset);
Id type_in(const Id& dataset);
/// Reads or writes rows [first, first + count) of a dataset (all of the further dimensions).
void read_rows(const Id& dataset, const Id& type, hsize_t first, hsize_t count, void* out);
void write_rows(const Id& dataset, const Id& type, hsize_t first, hsize_t count, const void* in);
/// Frees the strings that read_rows stored in `out`.
void reclaim_strings(const Id& type, std::span<char*> strings);

/// Creates or overwrites an attribute.
void set_attribute(const Id& object, const char* name, const std::string& text);
void set_attribute(const Id& object, const char* name, std::int32_t value);
void set_attribute(const Id& object, const char* name, std::int64_t value);
/// Marks a column of /results as the job's `index`-th, from 0: its attribute `position` is 1 more.
void set_position(const Id& column, std::size_t index);
/// "" or 0 where there is no such attribute of this kind.
std::string text_attribute(const Id& object, const char* name);
std::int64_t number_attribute(const Id& object, const char* name);

} // namespace mgpu::agent::write::h5
