/* Preloaded: from its call number $MPI_FAULT_AT on, the MPI call $MPI_FAULT_CALL of rank $MPI_FAULT_RANK fails, as over a network that has gone. Open MPI's binary interface. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define MPI_ERR_OTHER 16

static int fails(const char* call) {
  static int seen = 0;
  const char *wanted = getenv("MPI_FAULT_CALL"), *rank = getenv("MPI_FAULT_RANK"), *own = getenv("OMPI_COMM_WORLD_RANK"), *at = getenv("MPI_FAULT_AT");
  return wanted && rank && own && at && !strcmp(wanted, call) && !strcmp(rank, own) && ++seen >= atoi(at);
}
int MPI_Isend(const void* data, int count, void* type, int rank, int tag, void* communicator, void* request) {
  int (*real)(const void*, int, void*, int, int, void*, void*) = (int (*)(const void*, int, void*, int, int, void*, void*))dlsym(RTLD_NEXT, "MPI_Isend");
  return fails("MPI_Isend") ? MPI_ERR_OTHER : real(data, count, type, rank, tag, communicator, request);
}
int MPI_Improbe(int source, int tag, void* communicator, int* found, void* message, void* status) {
  int (*real)(int, int, void*, int*, void*, void*) = (int (*)(int, int, void*, int*, void*, void*))dlsym(RTLD_NEXT, "MPI_Improbe");
  return fails("MPI_Improbe") ? MPI_ERR_OTHER : real(source, tag, communicator, found, message, status);
}
