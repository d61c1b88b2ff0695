#pragma once
// One rank's part of a checkpoint: its share of the parameters and of the optimizer's state, and the tensors that are not
// sharded. A file is a 64-byte head (magic, version, sizes, checksum), a JSON description, and the numbers.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "mgpu/training.hpp"
#include "worker/collective/exchange.hpp"

namespace mgpu::worker::train {

inline constexpr std::uint32_t part_version = 1;

struct Part {
  std::uint64_t step = 0; ///< optimizer steps done
  int rank = 0, world_size = 1;
  std::size_t elements = 0;               ///< size of the whole flat buffer
  std::vector<collective::Slice> slices;  ///< slices of it in this part
  std::vector<std::vector<float>> arrays; ///< parameters, then each state: the slices one after another
  std::vector<NamedTensor> tensors;       ///< buffers and currently untrained parameters; on the CPU
  nlohmann::json state;                   ///< state of the trainer
};

/// "rank-0003.part"
std::string part_name(int rank);

/// Writes a temporary file, syncs and renames it. Returns its size. Throws Error (ExitCode::stopped when the disk is full).
std::uint64_t write_part(const std::string& path, const Part& part);

/// Throws usage_error in one line: missing, truncated, damaged, or of a newer version.
Part read_part(const std::string& path);

/// Copies the elements of `wanted` that `part` has to `out` (wanted's slices one after another). Returns their number.
std::size_t copy_overlap(const Part& part, std::size_t array, const std::vector<collective::Slice>& wanted,
                         std::vector<float>& out);

} // namespace mgpu::worker::train
