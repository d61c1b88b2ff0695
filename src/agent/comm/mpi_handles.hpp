#pragma once
// RAII owners of MPI handles. A moved-from owner holds the null handle. Return codes of frees are ignored: nothing depends on the
// handle any more.
#include <mpi.h>

#include <memory>
#include <utility>

#include "agent/comm/mpi_call.hpp"

namespace mgpu::agent::comm {

/// Owner of one handle. `Kind` has the type, the null handle and the free function.
template <typename Kind>
class MpiHandle {
 public:
  using Handle = typename Kind::Handle;
  MpiHandle() = default;
  explicit MpiHandle(Handle handle) : handle_(handle) {}
  MpiHandle(MpiHandle&& other) noexcept : handle_(other.release()) {}
  MpiHandle& operator=(MpiHandle&& other) noexcept {
    if (this != &other) {
      reset();
      handle_ = other.release();
    }
    return *this;
  }
  ~MpiHandle() { reset(); }

  Handle get() const { return handle_; }
  explicit operator bool() const { return handle_ != Kind::null(); }
  /// Gives the handle up without freeing it.
  Handle release() { return std::exchange(handle_, Kind::null()); }
  void reset() {
    if (Handle handle = release(); handle != Kind::null()) Kind::free(handle);
  }

 private:
  Handle handle_ = Kind::null();
};

struct CommunicatorKind {
  using Handle = MPI_Comm;
  static Handle null() { return MPI_COMM_NULL; }
  static void free(Handle& handle) { MPI_Comm_free(&handle); }
};

/// A communicator whose errors are returned, not fatal. Freeing it is collective: release() it where a rank may be lost.
class Communicator : public MpiHandle<CommunicatorKind> {
 public:
  Communicator() = default;
  static Communicator duplicate_of(MPI_Comm communicator) {
    MPI_Comm made = MPI_COMM_NULL;
    MGPU_MPI(MPI_Comm_dup, communicator, &made);
    return Communicator(made);
  }
  /// Ranks with the same `color`, in the order of `key`; empty with MPI_UNDEFINED.
  static Communicator split(MPI_Comm communicator, int color, int key) {
    MPI_Comm made = MPI_COMM_NULL;
    MGPU_MPI(MPI_Comm_split, communicator, color, key, &made);
    return Communicator(made);
  }
  /// Ranks that share memory, as MPI sees it.
  static Communicator split_shared(MPI_Comm communicator) {
    MPI_Comm made = MPI_COMM_NULL;
    MGPU_MPI(MPI_Comm_split_type, communicator, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &made);
    return Communicator(made);
  }
  int rank() const {
    int rank = 0;
    MGPU_MPI(MPI_Comm_rank, get(), &rank);
    return rank;
  }
  int size() const {
    int size = 1;
    MGPU_MPI(MPI_Comm_size, get(), &size);
    return size;
  }

 private:
  explicit Communicator(MPI_Comm handle) : MpiHandle(handle) {
    if (handle != MPI_COMM_NULL) MGPU_MPI(MPI_Comm_set_errhandler, handle, MPI_ERRORS_RETURN);
  }
};

struct GroupKind {
  using Handle = MPI_Group;
  static Handle null() { return MPI_GROUP_NULL; }
  static void free(Handle& handle) { MPI_Group_free(&handle); }
};
using Group = MpiHandle<GroupKind>;

struct DatatypeKind {
  using Handle = MPI_Datatype;
  static Handle null() { return MPI_DATATYPE_NULL; }
  static void free(Handle& handle) { MPI_Type_free(&handle); }
};

/// A committed type.
class Datatype : public MpiHandle<DatatypeKind> {
 public:
  /// `bytes` contiguous bytes.
  static Datatype block_of(int bytes) {
    MPI_Datatype made = MPI_DATATYPE_NULL;
    MGPU_MPI(MPI_Type_contiguous, bytes, MPI_BYTE, &made);
    Datatype type(made);
    MGPU_MPI(MPI_Type_commit, &made);
    return type;
  }

 private:
  explicit Datatype(MPI_Datatype handle) : MpiHandle(handle) {}
};

/// A pending send or receive with its buffer. If it is not complete at destruction (a rank was lost), the buffer is leaked on
/// purpose: MPI may still access it.
class Request {
 public:
  Request() = default;
  explicit Request(std::shared_ptr<void> memory) : memory_(std::move(memory)) {}
  Request(Request&& other) noexcept
      : handle_(std::exchange(other.handle_, MPI_REQUEST_NULL)), memory_(std::move(other.memory_)) {}
  Request& operator=(Request&& other) noexcept {
    if (this != &other) {
      abandon();
      handle_ = std::exchange(other.handle_, MPI_REQUEST_NULL);
      memory_ = std::move(other.memory_);
    }
    return *this;
  }
  ~Request() { abandon(); }

  /// Argument for the MPI call that starts the request.
  MPI_Request* start() { return &handle_; }
  bool complete() const { return handle_ == MPI_REQUEST_NULL; }
  /// Calls MPI_Test and returns its return code; complete() tells whether the request is done.
  int test() {
    int done = 0;
    return MPI_Test(&handle_, &done, MPI_STATUS_IGNORE);
  }
  void hold(std::shared_ptr<void> memory) { memory_ = std::move(memory); }

 private:
  void abandon() {
    if (!complete() && memory_) new std::shared_ptr<void>(std::move(memory_));
  }
  MPI_Request handle_ = MPI_REQUEST_NULL;
  std::shared_ptr<void> memory_;
};

} // namespace mgpu::agent::comm
