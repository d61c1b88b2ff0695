#pragma once
#include <string>
#include <vector>

#include "common/wire/control_messages.hpp"

namespace mgpu::worker {

/// The GPUs this process may use, without opening a context on any. When there are none, `note` says why.
std::vector<wire::Device> list_devices(std::string& note);

/// Versions of what the worker is built on.
wire::Versions worker_versions();

/// Resident memory of this process now and at its highest, bytes.
std::uint64_t resident_bytes();
std::uint64_t peak_resident_bytes();

} // namespace mgpu::worker
