#pragma once
#include <string>
#include <vector>

#include "common/wire/control_messages.hpp"

namespace mgpu::worker {

/// The GPUs that this process may use, without opening a context. If there are none, `note` gives the reason.
std::vector<wire::Device> list_devices(std::string& note);

/// Versions of the worker's libraries.
wire::Versions worker_versions();

/// Resident memory of this process: current and peak, bytes.
std::uint64_t resident_bytes();
std::uint64_t peak_resident_bytes();

} // namespace mgpu::worker
