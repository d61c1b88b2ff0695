#pragma once
#include <exception>
#include <string>

#include "common/wire/control_messages.hpp"
#include "mgpu/error.hpp"

namespace mgpu::worker {

/// The first meaningful line of an exception: LibTorch's messages have pages of stack and TorchScript source around it.
std::string reason_of(const std::exception& error);

/// True when the device or host ran out of memory. Checks texts, too: TorchScript's interpreter converts exceptions to texts.
bool is_out_of_memory(const std::exception& error);

/// The cause of an item's failure: io for std::system_error and io_error(), memory for any lack of memory, else item.
Cause cause_of(const std::exception& error);

/// The cause of a worker's end.
wire::FailureCause failure_cause(const std::exception& error);

/// The state of the GPU after a CUDA error. `context` may also be a refused call: check DeviceStreams::works().
wire::DeviceTrouble device_trouble(const std::exception& error);

} // namespace mgpu::worker
