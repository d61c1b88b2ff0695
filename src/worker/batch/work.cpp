// The out-of-line part of mgpu/work.hpp.
#include "mgpu/work.hpp"

#include "worker/device/torch.hpp"

namespace mgpu {

void Outputs::add(std::string name, torch::Tensor value) {
  columns.push_back({std::move(name), Layout::fixed, std::move(value), {}, {}});
}

void Outputs::add_ragged(std::string name, std::vector<torch::Tensor> rows) {
  columns.push_back({std::move(name), Layout::ragged, {}, std::move(rows), {}});
}

void Outputs::add_text(std::string name, std::vector<std::string> rows) {
  columns.push_back({std::move(name), Layout::text, {}, {}, std::move(rows)});
}

void Outputs::fail(std::int64_t row, std::string reason) {
  failures.emplace_back(row, std::move(reason));
}

torch::Tensor Work::trial_row(int) const {
  const auto spec = row_spec();
  return spec ? torch::zeros(spec->shape, spec->type) : torch::Tensor();
}

} // namespace mgpu
