#pragma once
#include <span>

#include "agent/write/hdf5/h5.hpp"
#include "agent/write/hdf5/result_file.hpp"

namespace mgpu::agent::write {

/// Writes the table /telemetry, GPU by GPU; writes nothing if there is no sample.
void write_telemetry(const h5::Id& file, std::span<const GpuTelemetry> gpus);

} // namespace mgpu::agent::write
