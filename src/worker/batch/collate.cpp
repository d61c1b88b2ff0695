#include "worker/batch/collate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <sstream>

#include "worker/device/torch.hpp"

namespace mgpu::worker {

namespace {

std::string describe(const torch::Tensor& tensor) {
  std::ostringstream text;
  text << tensor.sizes() << ' ' << c10::toString(tensor.scalar_type());
  return text.str();
}

/// Why `row` does not fit in a batch with `first`; "" if it does.
std::string misfit(const torch::Tensor& row, const torch::Tensor& first) {
  if (!row.defined()) return "prepare gave no tensor";
  if (row.dim() == 0) return "prepare gave a single number, not a row with a length";
  if (row.numel() == 0) return "prepare gave an empty row";
  const bool same = row.scalar_type() == first.scalar_type() && row.dim() == first.dim() &&
                    row.sizes().slice(0, row.dim() - 1) == first.sizes().slice(0, first.dim() - 1);
  return same ? "" : fmt::format("prepared as {}, other rows of its batch as {}", describe(row), describe(first));
}

/// Copies `row` [lead…, t] into `target` [lead…, T] and zeroes the rest.
void copy_padded(const torch::Tensor& row, std::byte* target, std::int64_t longest) {
  const std::size_t item = row.element_size();
  const auto length = static_cast<std::size_t>(row.size(-1)) * item;
  const auto stride = static_cast<std::size_t>(longest) * item;
  const auto lines = static_cast<std::size_t>(row.numel() / row.size(-1));
  const auto* from = static_cast<const std::byte*>(row.const_data_ptr());
  for (std::size_t line = 0; line < lines; ++line) {
    std::memcpy(target + line * stride, from + line * length, length);
    std::memset(target + line * stride + length, 0, stride - length);
  }
}

} // namespace

Collated collate(const std::vector<Sample>& samples, std::vector<std::string>& errors, const AllocateHost& allocate) {
  const torch::Tensor* first = nullptr;
  for (std::size_t i = 0; i < samples.size() && first == nullptr; ++i)
    if (errors[i].empty() && samples[i].input.defined() && samples[i].input.dim() > 0 && samples[i].input.numel() > 0)
      first = &samples[i].input;
  const bool any_tensor = std::any_of(samples.begin(), samples.end(), [](const Sample& s) { return s.input.defined(); });
  if (!any_tensor) return {}; // the job uses only Sample::extra

  std::int64_t longest = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (!errors[i].empty()) continue;
    errors[i] = misfit(samples[i].input, first != nullptr ? *first : samples[i].input);
    if (errors[i].empty()) longest = std::max(longest, samples[i].input.size(-1));
  }
  if (longest == 0) return {}; // no good row is left

  auto shape = first->sizes().vec();
  shape.back() = longest;
  shape.insert(shape.begin(), static_cast<std::int64_t>(samples.size()));
  Collated batch{allocate(shape, first->scalar_type()), allocate({shape.front()}, torch::kLong)};
  const std::size_t row_bytes = batch.input.nbytes() / samples.size();
  auto* bytes = static_cast<std::byte*>(batch.input.mutable_data_ptr());
  auto* lengths = batch.lengths.mutable_data_ptr<std::int64_t>();
  for (std::size_t i = 0; i < samples.size(); ++i) {
    lengths[i] = longest;
    if (!errors[i].empty()) {
      std::memset(bytes + i * row_bytes, 0, row_bytes);
      continue;
    }
    const torch::Tensor row = samples[i].input.contiguous();
    lengths[i] = row.size(-1);
    copy_padded(row, bytes + i * row_bytes, longest);
  }
  return batch;
}

} // namespace mgpu::worker
