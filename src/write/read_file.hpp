#pragma once
// Reading result files: for Job::finish, inspect, export and resume.
#include <memory>
#include <string>

#include "mgpu/job.hpp"

namespace mgpu::write {

/// Opens a result file. Throws usage_error when it is missing or not one of ours.
std::unique_ptr<Results> open_results(const std::string& path);

/// True if `path` is a result file with complete = 1.
bool is_complete(const std::string& path);

/// "1.10.8": of the library that is linked.
std::string hdf5_version();

} // namespace mgpu::write
