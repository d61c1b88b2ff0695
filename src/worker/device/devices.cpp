#include "worker/device/devices.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <jpeglib.h>
#include <sys/resource.h>
#include <torch/version.h>
#include <unistd.h>

#include <fstream>

#include "common/support/cpu_list.hpp"
#include "mgpu/version.hpp"

extern "C" {
#include <libavutil/avutil.h>
}

#ifdef MGPU_HAS_CUDA
#include <cuda_runtime_api.h>
#endif

namespace mgpu::worker {

#ifdef MGPU_HAS_CUDA

namespace {

/// In nvidia-smi's format: GPU-5b6f…
std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text = "GPU";
  for (int i = 0; i < 16; ++i)
    text += fmt::format("{}{:02x}", i == 0 || i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                        static_cast<unsigned char>(uuid.bytes[i]));
  return text;
}

} // namespace

std::vector<wire::Device> list_devices(std::string& note) {
  int count = 0;
  const cudaError_t problem = cudaGetDeviceCount(&count);
  if (problem != cudaSuccess || count == 0) {
    int driver = 0;
    cudaDriverGetVersion(&driver);
    if (driver == 0)
      note = "no NVIDIA driver";
    else
      note = problem == cudaSuccess || problem == cudaErrorNoDevice ? "no GPU is visible" : cudaGetErrorString(problem);
    cudaGetLastError(); // resets the error for later calls
    return {};
  }
  std::vector<wire::Device> devices;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp facts{};
    if (cudaGetDeviceProperties(&facts, index) != cudaSuccess) continue;
    const std::string place = fmt::format("{:02x}:{:02x}.0", facts.pciBusID, facts.pciDeviceID);
    devices.push_back({facts.name, uuid_text(facts.uuid), fmt::format("{:08x}:{}", facts.pciDomainID, place),
                       facts.totalGlobalMem, index,
                       read_cpu_list(fmt::format("/sys/bus/pci/devices/{:04x}:{}/local_cpulist", facts.pciDomainID, place))});
  }
  return devices;
}

#else

std::vector<wire::Device> list_devices(std::string& note) {
  note = "this build has no CUDA";
  return {};
}

#endif

namespace {

#define MGPU_TEXT_OF(x) #x
#define MGPU_TEXT(x) MGPU_TEXT_OF(x)

std::string cuda_version() {
#ifdef MGPU_HAS_CUDA
  return fmt::format("{}.{}", CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
#else
  return "";
#endif
}

std::string jpeg_version() {
#ifdef LIBJPEG_TURBO_VERSION
  return "libjpeg-turbo " MGPU_TEXT(LIBJPEG_TURBO_VERSION);
#else
  return "libjpeg " MGPU_TEXT(JPEG_LIB_VERSION);
#endif
}

/// NCCL comes with LibTorch: the version is that of the loaded library, not of a header.
std::string nccl_version() {
  using GetVersion = int (*)(int*);
  const auto get_version = reinterpret_cast<GetVersion>(dlsym(RTLD_DEFAULT, "ncclGetVersion"));
  int code = 0;
  if (get_version == nullptr || get_version(&code) != 0) return "none";
  return fmt::format("{}.{}.{}", code / 10000, code / 100 % 100, code % 100); // nccl.h, NCCL_VERSION, since 2.9
}

} // namespace

wire::Versions worker_versions() {
  return {std::string(version), TORCH_VERSION, cuda_version(), nccl_version(), av_version_info(), jpeg_version()};
}

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total_pages = 0, resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::uint64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

} // namespace mgpu::worker
