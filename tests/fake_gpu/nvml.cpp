// libnvidia-ml.so.1: what FAKE_GPU_NVML says of each device. 0: it is well; 6: Not Found, as for a MIG instance; 15: GPU is lost; 16: reset required.
#include <cstdlib>

#define FAKE_GPU_API extern "C" __attribute__((visibility("default")))

namespace {

int code() {
  const char* set = std::getenv("FAKE_GPU_NVML");
  return set == nullptr ? 0 : std::atoi(set);
}

} // namespace

FAKE_GPU_API int nvmlInit_v2() {
  return 0;
}

FAKE_GPU_API int nvmlDeviceGetHandleByUUID(const char*, void** device) {
  *device = nullptr;
  return code();
}

FAKE_GPU_API int nvmlDeviceGetMemoryInfo(void*, void*) {
  return code();
}

// LibTorch asks these when memory runs out, to say which processes hold how much.
FAKE_GPU_API int nvmlDeviceGetHandleByPciBusId_v2(const char*, void** device) {
  *device = nullptr;
  return 0;
}

FAKE_GPU_API int nvmlDeviceGetComputeRunningProcesses(void*, unsigned* count, void*) {
  *count = 0;
  return 0;
}

FAKE_GPU_API const char* nvmlErrorString(int result) {
  switch (result) {
    case 0:
      return "Success";
    case 6:
      return "Not Found";
    case 15:
      return "GPU is lost";
    case 16:
      return "GPU requires reset";
    default:
      return "Unknown Error";
  }
}
