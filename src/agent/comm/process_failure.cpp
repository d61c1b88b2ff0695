#include "agent/comm/process_failure.hpp"

#if __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

#include "agent/comm/mpi_handles.hpp"

namespace mgpu::agent::comm {

#if defined(OMPI_HAVE_MPIX_COMM_GET_FAILED) && defined(OMPI_HAVE_MPIX_COMM_ACK_FAILED)

bool is_process_failure(int code) {
  int error_class = MPI_SUCCESS;
  MGPU_MPI(MPI_Error_class, code, &error_class);
  return error_class == MPIX_ERR_PROC_FAILED || error_class == MPIX_ERR_PROC_FAILED_PENDING;
}

std::vector<int> acknowledge_failures(MPI_Comm communicator) {
  MPI_Group handle = MPI_GROUP_NULL;
  MGPU_MPI(MPIX_Comm_get_failed, communicator, &handle);
  const Group dead(handle);
  MGPU_MPI(MPI_Comm_group, communicator, &handle);
  const Group all(handle);
  int count = 0, known = 0;
  MGPU_MPI(MPI_Group_size, dead.get(), &count);
  std::vector<int> in_dead(static_cast<std::size_t>(count)), ranks(static_cast<std::size_t>(count));
  for (int each = 0; each < count; ++each) in_dead[static_cast<std::size_t>(each)] = each;
  MGPU_MPI(MPI_Group_translate_ranks, dead.get(), count, in_dead.data(), all.get(), ranks.data());
  MGPU_MPI(MPIX_Comm_ack_failed, communicator, count, &known);
  return ranks;
}

bool survives_failures() {
  void* value = nullptr;
  int found = 0;
  MGPU_MPI(MPI_Comm_get_attr, MPI_COMM_WORLD, MPIX_FT, static_cast<void*>(&value), &found);
  return found != 0 && value != nullptr && *static_cast<int*>(value) != 0;
}

#else

bool is_process_failure(int /*code*/) {
  return false;
}

std::vector<int> acknowledge_failures(MPI_Comm /*communicator*/) {
  return {};
}

bool survives_failures() {
  return false;
}

#endif

} // namespace mgpu::agent::comm
