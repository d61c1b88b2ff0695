// libnccl.so.2 between processes of one machine: each rank's numbers lie in files beside each other. Calls do not block; a collective runs
// when its turn comes in the stream, and ends when all ranks have come, or at once after ncclCommAbort.
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "settings.hpp"

#define FAKE_GPU_API extern "C" __attribute__((visibility("default")))

FAKE_GPU_API void fake_gpu_enqueue(cudaStream_t stream, void (*function)(void*), void* argument);
FAKE_GPU_API void* fake_gpu_host_view(const void* pointer);

namespace fs = std::filesystem;

/// Never destroyed: collectives that were aborted may still look at it.
struct ncclComm {
  int rank = 0, size = 1;
  fs::path folder;
  std::atomic<ncclResult_t> state{ncclInProgress};
  std::atomic<bool> aborted{false};
  std::atomic<long> next{0};

  fs::path file(const std::string& of, int of_rank) const { return folder / (of + "." + std::to_string(of_rank)); }
  /// False: aborted.
  bool wait_for(const fs::path& path) const {
    while (!aborted) {
      if (fs::exists(path)) return true;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return false;
  }
};

namespace {

enum class Kind { all_reduce, reduce_scatter, all_gather, broadcast };

struct Collective {
  Kind kind;
  ncclComm* comm;
  long number;
  const char* in;
  char* out;
  std::size_t count;
  ncclDataType_t type;
  int root;
};

std::size_t size_of(ncclDataType_t type) {
  switch (type) {
    case ncclFloat64:
    case ncclInt64:
      return 8;
    case ncclFloat32:
      return 4;
    default:
      return 2;
  }
}

template <typename Number>
void add(std::vector<std::vector<char>>& all, std::size_t begin, std::size_t count, char* out) {
  for (std::size_t at = 0; at < count; ++at) {
    Number sum{};
    for (const auto& each : all) sum += reinterpret_cast<const Number*>(each.data())[begin + at];
    reinterpret_cast<Number*>(out)[at] = sum;
  }
}

/// In the order of ranks.
void sum(ncclDataType_t type, std::vector<std::vector<char>>& all, std::size_t begin, std::size_t count, char* out) {
  if (type == ncclFloat64) return add<double>(all, begin, count, out);
  if (type == ncclFloat32) return add<float>(all, begin, count, out);
  std::memcpy(out, all[0].data() + begin * size_of(type), count * size_of(type)); // halves: their values are not looked at
}

void run(void* argument) {
  const std::unique_ptr<Collective> own(static_cast<Collective*>(argument));
  const Collective& it = *own;
  ncclComm& comm = *it.comm;
  if (it.number + 1 == fake_gpu::settings().nccl_hangs_at)
    while (!comm.aborted) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (comm.aborted) return;
  const std::size_t bytes =
      it.count * size_of(it.type) * (it.kind == Kind::reduce_scatter ? static_cast<std::size_t>(comm.size) : 1);
  const std::string number = std::to_string(it.number);
  const fs::path mine = comm.file(number, comm.rank), unfinished = mine.string() + ".new";
  std::ofstream(unfinished, std::ios::binary).write(it.in, static_cast<std::streamsize>(bytes));
  fs::rename(unfinished, mine);
  std::vector<std::vector<char>> all(static_cast<std::size_t>(comm.size), std::vector<char>(bytes));
  for (int rank = 0; rank < comm.size; ++rank) {
    if (!comm.wait_for(comm.file(number, rank))) return;
    std::ifstream(comm.file(number, rank), std::ios::binary)
        .read(all[static_cast<std::size_t>(rank)].data(), static_cast<std::streamsize>(bytes));
  }
  std::error_code ignored; // all have read the one before: they are here
  if (it.number > 0) fs::remove(comm.file(std::to_string(it.number - 1), comm.rank), ignored);
  switch (it.kind) {
    case Kind::all_reduce:
      return sum(it.type, all, 0, it.count, it.out);
    case Kind::reduce_scatter:
      return sum(it.type, all, it.count * static_cast<std::size_t>(comm.rank), it.count, it.out);
    case Kind::broadcast:
      std::memcpy(it.out, all[static_cast<std::size_t>(it.root)].data(), bytes);
      return;
    case Kind::all_gather:
      for (std::size_t rank = 0; rank < all.size(); ++rank) std::memcpy(it.out + rank * bytes, all[rank].data(), bytes);
  }
}

ncclResult_t queue(Kind kind, const void* in, void* out, std::size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                   cudaStream_t stream) {
  const auto view = [](const void* pointer) { return static_cast<char*>(fake_gpu_host_view(pointer)); };
  fake_gpu_enqueue(stream, run, new Collective{kind, comm, comm->next++, view(in), view(out), count, type, root});
  return comm->state = ncclInProgress;
}

} // namespace

FAKE_GPU_API ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

/// The folder of the numbers; it goes with the TMPDIR of the process that was asked.
FAKE_GPU_API ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::string folder = (fs::temp_directory_path() / "fake_nccl.XXXXXX").string();
  if (folder.size() >= sizeof id->internal || mkdtemp(folder.data()) == nullptr) return ncclSystemError;
  std::memset(id, 0, sizeof *id);
  std::memcpy(id->internal, folder.c_str(), folder.size());
  return ncclSuccess;
}

FAKE_GPU_API ncclResult_t ncclCommInitRankConfig(ncclComm_t* made, int size, ncclUniqueId id, int rank, ncclConfig_t*) {
  ncclComm* comm = *made = new ncclComm;
  comm->rank = rank;
  comm->size = size;
  comm->folder = id.internal;
  std::ofstream(comm->file("here", rank)) << "x";
  std::thread([comm] {
    for (int each = 0; each < comm->size; ++each)
      if (!comm->wait_for(comm->file("here", each))) return;
    comm->state = ncclSuccess;
  }).detach();
  return ncclInProgress;
}

FAKE_GPU_API ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* result) {
  *result = comm->state;
  if (comm->next > 0) comm->state = ncclSuccess; // what was begun is under way after a look
  return ncclSuccess;
}

FAKE_GPU_API ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  ++comm->next;
  return comm->state = ncclInProgress;
}

FAKE_GPU_API ncclResult_t ncclCommDestroy(ncclComm_t) {
  return ncclSuccess;
}

FAKE_GPU_API ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->aborted = true;
  return ncclSuccess;
}

FAKE_GPU_API const char* ncclGetErrorString(ncclResult_t) {
  return "an error of the fake NCCL";
}

FAKE_GPU_API const char* ncclGetLastError(ncclComm_t) {
  return "";
}

FAKE_GPU_API ncclResult_t ncclGroupStart() {
  return ncclSuccess;
}

FAKE_GPU_API ncclResult_t ncclGroupEnd() {
  return ncclSuccess;
}

FAKE_GPU_API ncclResult_t ncclAllReduce(const void* in, void* out, std::size_t count, ncclDataType_t type, ncclRedOp_t,
                                        ncclComm_t comm, cudaStream_t stream) {
  return queue(Kind::all_reduce, in, out, count, type, 0, comm, stream);
}

FAKE_GPU_API ncclResult_t ncclAllGather(const void* in, void* out, std::size_t count, ncclDataType_t type, ncclComm_t comm,
                                        cudaStream_t stream) {
  return queue(Kind::all_gather, in, out, count, type, 0, comm, stream);
}

FAKE_GPU_API ncclResult_t ncclReduceScatter(const void* in, void* out, std::size_t count, ncclDataType_t type, ncclRedOp_t,
                                            ncclComm_t comm, cudaStream_t stream) {
  return queue(Kind::reduce_scatter, in, out, count, type, 0, comm, stream);
}

FAKE_GPU_API ncclResult_t ncclBroadcast(const void* in, void* out, std::size_t count, ncclDataType_t type, int root,
                                        ncclComm_t comm, cudaStream_t stream) {
  return queue(Kind::broadcast, in, out, count, type, root, comm, stream);
}
