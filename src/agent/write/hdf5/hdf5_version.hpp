#pragma once
#include <string>

namespace mgpu::agent::write {

/// Version of the loaded library, for example "1.10.8".
std::string hdf5_version();

} // namespace mgpu::agent::write
