#pragma once
// Makes a rank's context from a Configure message, and the process-wide settings.
#include <cstdint>
#include <exception>
#include <vector>

#include "common/wire/channel.hpp"
#include "common/wire/control_messages.hpp"
#include "mgpu/work.hpp"

namespace mgpu::worker {

/// Throws usage_error on an unknown dtype or a bad configuration.
RankContext make_context(const wire::Configure& configure);
/// The same, with progress sent over the channel.
RankContext make_context(const wire::Configure& configure, wire::Channel& channel);

/// Reports why a session cannot continue; returns the exit code.
int tell_failure(wire::Channel& channel, const std::exception& error);

/// Restricts the calling thread, and threads that it starts later, to these cores; does nothing if empty or not allowed.
void use_cores(const std::vector<std::int32_t>& cores);

/// Sets the number of intra-op threads and deterministic algorithms. Call it in the run thread.
void set_math(const RankContext& context);

/// Sets the device of a rank: "cpu", or "cuda:0 NVIDIA H200" and its UUID.
void tell_device(torch::Device device, wire::Opened& opened);

} // namespace mgpu::worker
