#ifdef MGPU_HAS_NVJPEG
#include "worker/preprocess/nvjpeg_library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <string>

#include "mgpu/error.hpp"

namespace mgpu::worker {

namespace {

void* open_library() {
  // By its soname first: LD_LIBRARY_PATH and the system take precedence over the path at build time.
  const std::string soname = fmt::format("libnvjpeg.so.{}", NVJPEG_VER_MAJOR);
  if (void* library = dlopen(soname.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  const std::string first_reason = dlerror();
  if (void* library = dlopen(MGPU_NVJPEG_LIBRARY, RTLD_NOW | RTLD_LOCAL)) return library;
  throw usage_error(fmt::format("--decode nvjpeg: {}; {}", first_reason, dlerror()));
}

template <typename Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) throw usage_error(fmt::format("--decode nvjpeg: the library has no {}", name));
}

NvjpegLibrary load() {
  void* library = open_library(); // stays loaded: its teardown at exit is skipped, too
  NvjpegLibrary functions;
  find(library, "nvjpegCreateEx", functions.create_ex);
  find(library, "nvjpegDestroy", functions.destroy);
  find(library, "nvjpegJpegStateCreate", functions.state_create);
  find(library, "nvjpegJpegStateDestroy", functions.state_destroy);
  find(library, "nvjpegJpegStreamCreate", functions.stream_create);
  find(library, "nvjpegJpegStreamDestroy", functions.stream_destroy);
  find(library, "nvjpegJpegStreamParseHeader", functions.parse_header);
  find(library, "nvjpegDecodeBatchedSupported", functions.batched_supported);
  find(library, "nvjpegDecodeBatchedInitialize", functions.batched_initialize);
  find(library, "nvjpegDecodeBatched", functions.decode_batched);
  find(library, "nvjpegDecode", functions.decode);
  return functions;
}

} // namespace

const NvjpegLibrary& nvjpeg_library() {
  static const NvjpegLibrary library = load();
  return library;
}

const char* nvjpeg_status_name(nvjpegStatus_t status) {
  switch (status) {
    case NVJPEG_STATUS_SUCCESS:
      return "SUCCESS";
    case NVJPEG_STATUS_NOT_INITIALIZED:
      return "NOT_INITIALIZED";
    case NVJPEG_STATUS_INVALID_PARAMETER:
      return "INVALID_PARAMETER";
    case NVJPEG_STATUS_BAD_JPEG:
      return "BAD_JPEG";
    case NVJPEG_STATUS_JPEG_NOT_SUPPORTED:
      return "JPEG_NOT_SUPPORTED";
    case NVJPEG_STATUS_ALLOCATOR_FAILURE:
      return "ALLOCATOR_FAILURE";
    case NVJPEG_STATUS_EXECUTION_FAILED:
      return "EXECUTION_FAILED";
    case NVJPEG_STATUS_ARCH_MISMATCH:
      return "ARCH_MISMATCH";
    case NVJPEG_STATUS_INTERNAL_ERROR:
      return "INTERNAL_ERROR";
    case NVJPEG_STATUS_IMPLEMENTATION_NOT_SUPPORTED:
      return "IMPLEMENTATION_NOT_SUPPORTED";
    case NVJPEG_STATUS_INCOMPLETE_BITSTREAM:
      return "INCOMPLETE_BITSTREAM";
  }
  return "an unknown status";
}

} // namespace mgpu::worker
#endif
