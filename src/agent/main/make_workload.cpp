#include "agent/main/make_workload.hpp"

#include "agent/items/item_workload.hpp"
#include "agent/training/training_workload.hpp"

namespace mgpu::agent {

std::unique_ptr<Workload> make_workload(RunControl& control) {
  if (control.setup().training) return std::make_unique<TrainingWorkload>(control);
  return std::make_unique<ItemWorkload>(control);
}

} // namespace mgpu::agent
