#pragma once
// What kind of file a model is, seen from the names in its zip directory alone.
#include <cstdint>
#include <string>
#include <vector>

namespace mgpu::worker {

enum class PackageKind : std::uint8_t { torchscript, aotinductor };

struct Package {
  PackageKind kind = PackageKind::torchscript;
  std::string model_name; ///< aotinductor: the model's name inside the package ("model" unless its maker chose another)
};

/// Throws usage_error in one line: missing, a folder, truncated, or another kind of file (with what to do about it).
Package inspect_package(const std::string& path);

/// Whether the processor of this machine has the vector instructions a package was compiled for ("AVX512 AVX512_VNNI", "AVX2").
/// Returns the first it lacks, or "".
std::string missing_cpu_feature(const std::string& isa, const std::string& cpuinfo_path = "/proc/cpuinfo");

} // namespace mgpu::worker
