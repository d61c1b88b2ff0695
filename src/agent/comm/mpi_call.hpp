#pragma once
// Checks the return codes of MPI calls.
#include <fmt/format.h>
#include <mpi.h>

#include <array>

#include "mgpu/error.hpp"

namespace mgpu::agent::comm {

/// Throws Error with MPI's error text when `code` is not MPI_SUCCESS. The exit code is ExitCode::stopped: a dead process or a
/// failed network is not a failure of the job, and --resume continues.
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
