#pragma once
#include <exception>
#include <string>

#include "common/wire/control_messages.hpp"
#include "mgpu/error.hpp"

namespace mgpu::worker {

/// The first meaningful line of an exception: LibTorch's span pages of stack and TorchScript source around one telling line.
std::string reason_of(const std::exception& error);

/// True when the device or host ran out of memory. TorchScript's interpreter turns exceptions into texts, so texts are looked at too.
bool is_out_of_memory(const std::exception& error);

/// What a failure is put down to: std::system_error and io_error() to reading, any lack of memory to memory, else to the item.
Cause cause_of(const std::exception& error);

/// What a worker's end is put down to.
wire::FailureCause failure_cause(const std::exception& error);

/// What an error of CUDA says of the GPU. `context` may be a call that was merely refused: DeviceStreams::works() tells.
wire::DeviceTrouble device_trouble(const std::exception& error);

} // namespace mgpu::worker
