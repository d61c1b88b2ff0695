#include "settings.hpp"

#include <cstdlib>

namespace fake_gpu {

namespace {

std::string text(const char* name, const char* otherwise) {
  const char* set = std::getenv(name);
  return set != nullptr ? set : otherwise;
}

Settings read() {
  Settings read;
  read.devices = std::stoi(text("FAKE_GPU_DEVICES", "1"));
  read.memory_bytes = std::stoull(text("FAKE_GPU_MEMORY", "4294967296"));
  read.delay_us = std::stoi(text("FAKE_GPU_DELAY_US", "200"));
  const std::string rank = text("OMPI_COMM_WORLD_RANK", "0");
  if (text("FAKE_GPU_OWN", "") == "1") read.first_device = std::stoi(rank);
  read.can_fail = text("FAKE_GPU_FAIL_RANK", rank.c_str()) == rank;
  read.forbidden_device = std::stoi(text("FAKE_GPU_FORBIDDEN", "-1"));
  read.fail_at = std::stol(text("FAKE_GPU_FAIL_AT", "0"));
  read.fail_code = std::stoi(text("FAKE_GPU_FAIL_CODE", "700"));
  read.fail_once = text("FAKE_GPU_FAIL_ONCE", "");
  read.nvml_code = std::stoi(text("FAKE_GPU_NVML", "0"));
  read.counts_folder = text("FAKE_GPU_COUNTS", "");
  read.nccl_hangs_at = std::stol(text("FAKE_GPU_NCCL_HANG", "0"));
  return read;
}

} // namespace

const Settings& settings() {
  static const Settings once = read();
  return once;
}

} // namespace fake_gpu
