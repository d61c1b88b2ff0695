#pragma once
// Every MPI call goes through here once and throws there.
#include <fmt/format.h>
#include <mpi.h>

#include <array>

#include "mgpu/error.hpp"

namespace mgpu::agent::comm {

/// Throws Error with MPI's own text when `code` is not MPI_SUCCESS; ExitCode::stopped: neither a process that died nor a network that fails
/// is a fault of the job, and --resume continues.
inline void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  Error error(fmt::format("{}: {}", call, text.data()), ExitCode::stopped);
  error.call = call;
  throw error;
}

} // namespace mgpu::agent::comm

#define MGPU_MPI(call, ...) ::mgpu::agent::comm::check_mpi(call(__VA_ARGS__), #call)
