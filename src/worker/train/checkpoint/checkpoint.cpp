#include "worker/train/checkpoint/checkpoint.hpp"

#include <fmt/format.h>

#include <filesystem>

namespace mgpu::worker::train {

namespace fs = std::filesystem;

std::string step_folder(std::uint64_t step) {
  return fmt::format("step-{:08}", step);
}

void CheckpointWriter::write(const std::string& folder, Part part, std::uint32_t epoch, std::string meta_json) {
  wait();
  thread_ = std::thread([this, folder, part = std::move(part), epoch, meta_json = std::move(meta_json)] {
    wire::Saved saved{part.step, epoch, (fs::path(folder) / step_folder(part.step)).string(), 0, meta_json, ""};
    try {
      fs::create_directories(saved.folder);
      saved.bytes = write_part(fs::path(saved.folder) / part_name(part.rank), part);
    } catch (const std::exception& error) {
      saved.error = error.what();
    }
    said_(saved);
  });
}

void CheckpointWriter::wait() {
  if (thread_.joinable()) thread_.join();
}

nlohmann::json restore_state(const std::string& folder) {
  return read_part(fs::path(folder) / part_name(0)).state;
}

Restored restore(const std::string& folder, int rank, int world_size, std::size_t elements,
                 const std::vector<collective::Slice>& wanted) {
  std::size_t own = 0;
  for (const collective::Slice& slice : wanted) own += slice.size();
  Restored restored;
  std::vector<std::size_t> copied;
  int parts = 1;
  for (int index = 0; index < parts; ++index) {
    const std::string path = fs::path(folder) / part_name(index);
    Part part = read_part(path);
    if (part.elements != elements)
      throw usage_error(fmt::format("{} is of another network: {} numbers instead of {}", path, part.elements, elements));
    if (index == 0) {
      parts = part.world_size;
      restored.state = part.state;
      restored.arrays.assign(part.arrays.size(), std::vector<float>(own));
      copied.assign(part.arrays.size(), 0);
    }
    if (part.world_size != parts || part.arrays.size() != restored.arrays.size())
      throw usage_error(fmt::format("{} belongs to another checkpoint than its neighbours", path));
    // If the state is not sharded every part has everything: the first part with an element is used.
    for (std::size_t array = 0; array < part.arrays.size(); ++array)
      if (copied[array] < own) copied[array] += copy_overlap(part, array, wanted, restored.arrays[array]);

    const bool same_ranks = parts == world_size;
    if (index == 0 || (same_ranks && index == rank)) {
      restored.tensors = std::move(part.tensors);
    } else if (!same_ranks) {
      for (std::size_t at = 0; at < restored.tensors.size(); ++at)
        if (restored.tensors[at].tensor.is_floating_point()) restored.tensors[at].tensor.add_(part.tensors.at(at).tensor);
    }
  }
  if (parts != world_size)
    for (NamedTensor& each : restored.tensors)
      if (each.tensor.is_floating_point()) each.tensor.div_(parts);
  for (const std::size_t count : copied)
    if (count != own) throw usage_error(fmt::format("the checkpoint {} does not have all parameters", folder));
  return restored;
}

} // namespace mgpu::worker::train
