#pragma once
#include <memory>

#include "agent/coordinator/course.hpp"

namespace mgpu::agent {

/// What the setup asks for: a training, or items one by one.
std::unique_ptr<Course> make_course(RunControl& control);

} // namespace mgpu::agent
