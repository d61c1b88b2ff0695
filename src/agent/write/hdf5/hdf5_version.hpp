#pragma once
#include <string>

namespace mgpu::agent::write {

/// "1.10.8": of the library in use.
std::string hdf5_version();

} // namespace mgpu::agent::write
