#pragma once
#include <cstddef>
#include <string>

namespace fake_gpu {

/// What the environment asks for; read once.
struct Settings {
  int devices = 1;                     ///< FAKE_GPU_DEVICES
  std::size_t memory_bytes = 4u << 30; ///< FAKE_GPU_MEMORY: of each device
  int delay_us = 200;                  ///< FAKE_GPU_DELAY_US: each piece of work waits for a random time up to this
  int first_device =
      0; ///< added to the number in a device's UUID; FAKE_GPU_OWN=1: the rank, so that each rank has a GPU of its own
  bool can_fail = true;      ///< FAKE_GPU_FAIL_RANK: only the GPUs of this rank break
  int forbidden_device = -1; ///< FAKE_GPU_FORBIDDEN: who makes something on this device is named on standard error
  long fail_at = 0;          ///< FAKE_GPU_FAIL_AT: the kernel, counted from 1, that breaks the device; 0: none
  int fail_code = 700;       ///< FAKE_GPU_FAIL_CODE: the error of every call from then on
  std::string fail_once;     ///< FAKE_GPU_FAIL_ONCE: a file; the process that makes it fails, those that find it do not
  int nvml_code = 0;         ///< FAKE_GPU_NVML: what NVML says of the GPUs that break (nvml.cpp; FAKE_GPU_NVML_FILE says more)
  std::string counts_folder; ///< FAKE_GPU_COUNTS: each process counts its calls in a file there (calls.cpp)
  long nccl_hangs_at = 0;    ///< FAKE_GPU_NCCL_HANG: the collective, counted from 1, that never ends; 0: none
};
const Settings& settings();

} // namespace fake_gpu
