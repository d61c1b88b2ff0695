#pragma once
#include <memory>

#include "agent/write/hdf5/running_file.hpp"

namespace mgpu::agent::write {

/// Locks and reads the journal of an earlier run; nullptr when there is none or it is empty. Throws usage_error when another run
/// has it, or when its beginning is damaged.
std::unique_ptr<RunningFile> read_journal(const Places& places, RawFile::Mode mode, bool verify_all, const OnReading& on_reading,
                                          ResultFile::Lock lock);

} // namespace mgpu::agent::write
