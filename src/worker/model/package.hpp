#pragma once
// The kind of a model file, from the names in its zip directory alone.
#include <cstdint>
#include <string>
#include <vector>

namespace mgpu::worker {

enum class PackageKind : std::uint8_t { torchscript, aotinductor };

struct Package {
  PackageKind kind = PackageKind::torchscript;
  std::string model_name; ///< aotinductor: the model's name inside the package (default "model")
};

/// Throws usage_error in one line: missing, a folder, truncated, or another kind of file (with a hint).
Package inspect_package(const std::string& path);

/// Compares the processor with the vector instructions that a package was compiled for ("AVX512 AVX512_VNNI", "AVX2"). Returns
/// the first one that is missing, or "".
std::string missing_cpu_feature(const std::string& isa, const std::string& cpuinfo_path = "/proc/cpuinfo");

} // namespace mgpu::worker
