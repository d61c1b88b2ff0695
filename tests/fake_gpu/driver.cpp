// libcuda.so.1: LibTorch's libcaffe2_nvrtc is linked against it. Only what is asked without a kernel is answered.
#include <dlfcn.h>

#define FAKE_GPU_API extern "C" __attribute__((visibility("default")))

/// Whether something was made on the device already; who asks does not make a context. LibTorch pins memory on a device that has one.
FAKE_GPU_API int cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* active) {
  static const auto has_context = reinterpret_cast<int (*)(int)>(dlsym(RTLD_DEFAULT, "fake_gpu_has_context"));
  if (flags != nullptr) *flags = 0;
  if (active != nullptr) *active = has_context == nullptr ? 0 : has_context(device);
  return 0;
}
