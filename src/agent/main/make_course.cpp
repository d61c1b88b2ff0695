#include "agent/main/make_course.hpp"

#include "agent/items/item_course.hpp"
#include "agent/training/training_course.hpp"

namespace mgpu::agent {

std::unique_ptr<Course> make_course(RunControl& control) {
  if (control.setup().training) return std::make_unique<TrainingCourse>(control);
  return std::make_unique<ItemCourse>(control);
}

} // namespace mgpu::agent
