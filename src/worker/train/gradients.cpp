#include "worker/train/gradients.hpp"

#include <fmt/format.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <numeric>

#include "common/support/hash.hpp"
#include "worker/device/torch.hpp"

namespace mgpu::worker::train {

namespace {

constexpr std::size_t line_elements = 16; ///< floats in a cache line

class Hook final : public torch::autograd::PostAccumulateGradHook {
 public:
  Hook(std::size_t index, const std::function<void(std::size_t)>& done) : index_(index), done_(done) {}
  void operator()(const torch::autograd::Variable&) override { done_(index_); }

 private:
  std::size_t index_;
  std::function<void(std::size_t)> done_;
};

/// Biases and the scales and shifts of norms have one dimension.
bool is_norm_or_bias(const NamedTensor& parameter) {
  return parameter.tensor.dim() <= 1;
}

/// A view of `flat` at `offset` with the shape and strides of `like`, which is dense.
torch::Tensor place(const torch::Tensor& flat, std::size_t offset, const torch::Tensor& like) {
  return flat.as_strided(like.sizes(), like.strides(), static_cast<std::int64_t>(offset));
}

} // namespace

FlatNetwork lay_out(const std::vector<NamedTensor>& in_order, bool decay_norms, std::size_t parts) {
  FlatNetwork network;
  collective::FlatLayout& layout = network.layout;
  const std::size_t multiple = std::lcm(line_elements, parts);
  const auto end_bucket = [&] {
    layout.elements = (layout.elements + multiple - 1) / multiple * multiple;
    if (!layout.buckets.empty()) layout.buckets.back().end = layout.elements;
  };
  for (const NamedTensor& parameter : in_order) {
    if (!parameter.tensor.is_non_overlapping_and_dense())
      throw usage_error(fmt::format("parameter {} is not dense in memory", parameter.name));
    const std::size_t limit = layout.buckets.size() == 1 ? first_bucket_bytes : bucket_bytes;
    if (layout.buckets.empty() || layout.buckets.back().size() * sizeof(float) >= limit) {
      end_bucket();
      layout.buckets.push_back({layout.elements, layout.elements});
    }
    Placed placed{parameter, layout.elements, layout.buckets.size() - 1};
    const auto size = static_cast<std::size_t>(parameter.tensor.numel());
    layout.elements += (size + line_elements - 1) / line_elements * line_elements;
    layout.buckets.back().end = layout.elements;
    if (!decay_norms && is_norm_or_bias(parameter)) {
      if (!layout.undecayed.empty() && layout.undecayed.back().end == placed.offset)
        layout.undecayed.back().end = layout.elements;
      else
        layout.undecayed.push_back({placed.offset, layout.elements});
    }
    network.placed.push_back(std::move(placed));
  }
  end_bucket();
  return network;
}

std::string signature_of(const std::vector<NamedTensor>& parameters) {
  std::string text;
  for (const NamedTensor& parameter : parameters)
    text += fmt::format("{} [{}]\n", parameter.name, fmt::join(parameter.tensor.sizes(), ", "));
  return sha256_of_text(text).substr(0, 16);
}

BackwardWatch::BackwardWatch(const std::vector<NamedTensor>& parameters, std::function<void(std::size_t)> done)
    : parameters_(parameters) {
  for (std::size_t index = 0; index < parameters_.size(); ++index)
    torch::autograd::impl::set_post_acc_grad_hooks(parameters_[index].tensor, std::make_unique<Hook>(index, done));
}

BackwardWatch::~BackwardWatch() {
  for (const NamedTensor& parameter : parameters_) torch::autograd::impl::set_post_acc_grad_hooks(parameter.tensor, nullptr);
}

Gradients::Gradients(FlatNetwork network, collective::Exchange& exchange, torch::Device device)
    : network_(std::move(network)), exchange_(exchange) {
  const torch::NoGradGuard no_grad;
  const auto elements = static_cast<std::int64_t>(network_.layout.elements);
  const auto options = torch::dtype(torch::kFloat).device(device);
  const torch::Tensor parameters = torch::from_blob(exchange.parameters(), {elements}, options);
  const torch::Tensor gradients = torch::from_blob(exchange.gradients(), {elements}, options);
  gradients.zero_();
  std::vector<NamedTensor> watched;
  for (Placed& placed : network_.placed) {
    torch::Tensor& tensor = placed.parameter.tensor;
    const torch::Tensor values = place(parameters, placed.offset, tensor);
    values.copy_(tensor);
    tensor.set_data(values);
    tensor.mutable_grad() = torch::Tensor();
    places_.push_back(place(gradients, placed.offset, tensor));
    watched.push_back(placed.parameter);
  }
  missing_.resize(network_.layout.buckets.size());
  watch_ = std::make_unique<BackwardWatch>(watched, [this](std::size_t index) { on_gradient(index); });
  begin_step();
}

Gradients::~Gradients() {
  watch_.reset();
  const torch::NoGradGuard no_grad;
  for (Placed& placed : network_.placed) {
    torch::Tensor& tensor = placed.parameter.tensor;
    tensor.set_data(tensor.detach().clone());
    tensor.mutable_grad() = torch::Tensor();
  }
}

void Gradients::begin_step() {
  const std::size_t count = network_.placed.size();
  written_.assign(count, false);
  final_.assign(count, false);
  std::fill(missing_.begin(), missing_.end(), std::size_t{0});
  for (const Placed& placed : network_.placed) ++missing_[placed.bucket];
  next_bucket_ = 0;
}

void Gradients::begin_backward(bool last) {
  begin_part(last, std::vector<bool>(network_.placed.size(), false));
}

void Gradients::begin_part(bool last, const std::vector<bool>& finished) {
  finished_ = finished;
  last_ = last;
  announce_ = [this](std::size_t bucket) { exchange_.ready(bucket); };
}

Gradients::Written Gradients::written() const {
  const auto count = static_cast<std::size_t>(std::count(written_.begin(), written_.end(), true));
  return count == 0 ? Written::none : count == written_.size() ? Written::all : Written::some;
}

void Gradients::begin_recorded(bool last, std::function<void(std::size_t)> announce) {
  begin_backward(last);
  announce_ = std::move(announce);
}

void Gradients::end_replay(bool last, const std::vector<bool>& wrote) {
  announce_ = nullptr; // the replay has already announced the buckets
  finished_ = wrote;
  for (std::size_t index = 0; index < wrote.size(); ++index) {
    if (!wrote[index]) continue;
    written_[index] = true;
    if (last) note_final(index);
  }
}

void Gradients::forget_pass(Written before) {
  begin_step();
  written_.assign(written_.size(), before == Written::all);
  begin_backward(false);
}

void Gradients::on_gradient(std::size_t index) {
  torch::Tensor& gradient = network_.placed[index].parameter.tensor.mutable_grad();
  const torch::NoGradGuard no_grad;
  if (!finished_[index]) {
    if (written_[index])
      places_[index].add_(gradient);
    else
      places_[index].copy_(gradient);
    written_[index] = true;
    finished_[index] = true;
    if (last_) note_final(index);
  }
  gradient = torch::Tensor();
}

void Gradients::note_final(std::size_t index) {
  if (final_[index]) return;
  final_[index] = true;
  --missing_[network_.placed[index].bucket];
  for (; next_bucket_ < missing_.size() && missing_[next_bucket_] == 0; ++next_bucket_)
    if (announce_) announce_(next_bucket_);
}

std::vector<std::string> Gradients::end_step() {
  std::vector<std::string> unused;
  for (std::size_t index = 0; index < written_.size(); ++index) {
    if (written_[index]) continue;
    places_[index].zero_();
    unused.push_back(network_.placed[index].parameter.name);
  }
  return unused;
}

} // namespace mgpu::worker::train
