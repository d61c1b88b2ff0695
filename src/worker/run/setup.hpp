#pragma once
// From a Configure message to a rank's context, and the process-wide settings that follow from it.
#include <cstdint>
#include <exception>
#include <vector>

#include "common/wire/channel.hpp"
#include "common/wire/control_messages.hpp"
#include "mgpu/work.hpp"

namespace mgpu::worker {

/// Throws usage_error on an unknown dtype or a bad configuration.
RankContext make_context(const wire::Configure& configure);
/// The same, with progress told over the channel.
RankContext make_context(const wire::Configure& configure, wire::Channel& channel);

/// Tells why a session cannot go on; returns the exit code to end with.
int tell_failure(wire::Channel& channel, const std::exception& error);

/// Restricts the calling thread, and those it makes, to these cores; leaves it as it is when empty or not allowed.
void use_cores(const std::vector<std::int32_t>& cores);

/// Threads of the calling (run) thread's operators, and what makes results reproducible. Call in the thread that runs the model.
void set_math(const RankContext& context);

/// Says which device a rank is on: "cpu", or "cuda:0 NVIDIA H200" and its UUID.
void tell_device(torch::Device device, wire::Opened& opened);

} // namespace mgpu::worker
