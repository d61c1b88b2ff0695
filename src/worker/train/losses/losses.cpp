#include "mgpu/losses.hpp"

#include <fmt/format.h>

#include <sstream>

#include "mgpu/targets.hpp"
#include "worker/device/torch.hpp"
#include "worker/train/losses/ctc_loss.hpp"
#include "worker/train/losses/loss_shapes.hpp"

namespace mgpu {

using namespace worker;

using namespace worker;

namespace worker::train {

std::string shapes_of(const std::vector<torch::Tensor>& outputs) {
  if (outputs.empty()) return "nothing";
  std::ostringstream text;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    text << (i > 0 ? ", " : "");
    if (!outputs[i].defined())
      text << "nothing";
    else
      text << outputs[i].sizes();
  }
  return text.str();
}

void does_not_fit(const std::vector<torch::Tensor>& outputs, std::string_view loss, const std::string& needs) {
  throw usage_error(fmt::format("the network gives {}, {} needs {}", shapes_of(outputs), loss, needs));
}

const torch::Tensor& target_of(const Batch& batch, std::size_t which) {
  if (which >= batch.targets.size())
    throw usage_error("the job made no targets for its loss: Training::targets must give Loss::targets");
  return batch.targets[which];
}

double total(const torch::Tensor& values) {
  return values.to(torch::kDouble).sum().item<double>();
}

namespace {

bool is_rows(const std::vector<torch::Tensor>& outputs, std::int64_t rows) {
  return !outputs.empty() && outputs[0].defined() && outputs[0].dim() > 0 && outputs[0].size(0) == rows &&
         outputs[0].is_floating_point();
}

class CrossEntropy final : public Loss {
 public:
  CrossEntropy(const Config& config, const Bundle& bundle) : targets_(TargetKind::one_class, config, bundle) {
    if (config.has("label-smoothing")) smoothing_ = config.get<double>("label-smoothing");
    if (!(smoothing_ >= 0 && smoothing_ < 1)) throw usage_error("--label-smoothing: a number from 0 to below 1 is expected");
  }

  std::vector<std::string> labels() const override { return targets_.names(); }
  void check_item(const Item& item) const override { targets_.of(item); }
  std::vector<torch::Tensor> targets(const Batch& rows) const override {
    torch::Tensor labels = targets_.of(rows);
    if (seen_ > 0) check_labels(labels, rows, seen_);
    return {std::move(labels)};
  }
  void check_outputs(const std::vector<torch::Tensor>& outputs, std::int64_t rows) override {
    const std::int64_t classes = targets_.classes();
    if (!is_rows(outputs, rows) || outputs[0].dim() != 2 || (classes > 0 && outputs[0].size(1) != classes))
      does_not_fit(outputs, "cross_entropy", classes > 0 ? fmt::format("[B, {}]", classes) : "[B, classes]");
  }

  void evaluate(const std::vector<torch::Tensor>& outputs, const Batch& batch, Sums& sums) const override {
    add_loss(outputs, batch, sums);
    const torch::Tensor logits = outputs.at(0).to(torch::kFloat).to(torch::kCPU);
    const torch::Tensor label = target_of(batch, 0).to(torch::kCPU).unsqueeze(1);
    const torch::Tensor own = logits.gather(1, label);
    // Number of classes ranked before the true one; equal scores are ranked by index, as in `infer`.
    const torch::Tensor lower = torch::arange(logits.size(1)).unsqueeze(0) < label;
    const torch::Tensor before = (logits.gt(own) | (logits.eq(own) & lower)).sum(1);
    const torch::Tensor place = before.masked_fill(own.squeeze(1).isnan(), logits.size(1));
    const auto rows = static_cast<double>(batch.size());
    sums.add("accuracy", total(place.lt(1)), rows);
    if (logits.size(1) > 5) sums.add("top5", total(place.lt(5)), rows);
    for (std::int64_t row = 0; row < batch.size(); ++row)
      sums.add_class(label[row].item<std::int64_t>(), place[row].item<std::int64_t>() == 0);
  }

 protected:
  torch::Tensor by_row(const std::vector<torch::Tensor>& outputs, const Batch& batch) const override {
    const torch::Tensor logits = outputs.at(0).to(torch::kFloat);
    const torch::Tensor& labels = target_of(batch, 0);
    if (seen_ != logits.size(1)) {
      check_labels(labels.to(torch::kCPU), batch, logits.size(1));
      seen_ = logits.size(1);
    }
    constexpr std::int64_t ignored = -100; // PyTorch's default; no label has it
    return at::cross_entropy_loss(logits, labels, {}, at::Reduction::None, ignored, smoothing_);
  }

 private:
  static void check_labels(const torch::Tensor& labels, const Batch& batch, std::int64_t classes) {
    for (std::size_t row = 0; row < batch.items.size(); ++row)
      if (labels.const_data_ptr<std::int64_t>()[row] >= classes)
        throw usage_error(fmt::format("item {}: label '{}', the network has {} classes", batch.items[row]->index,
                                      batch.items[row]->column("label"), classes));
  }

  Targets targets_;
  double smoothing_ = 0;
  /// Classes of the network's output, 0: unknown. On a GPU a wrong index would make the context unusable. The first batch is
  /// checked when its outputs are there, all others on the host while they are loaded: a check on the device would wait for it.
  mutable std::int64_t seen_ = 0;
};

class BinaryCrossEntropy final : public Loss {
 public:
  BinaryCrossEntropy(const Config& config, const Bundle& bundle) : targets_(TargetKind::some_classes, config, bundle) {}

  std::vector<std::string> labels() const override { return targets_.names(); }
  void check_item(const Item& item) const override { targets_.of(item); }
  std::vector<torch::Tensor> targets(const Batch& rows) const override { return {targets_.of(rows)}; }
  void check_outputs(const std::vector<torch::Tensor>& outputs, std::int64_t rows) override {
    if (!is_rows(outputs, rows) || outputs[0].dim() != 2 || outputs[0].size(1) != targets_.classes())
      does_not_fit(outputs, "bce", fmt::format("[B, {}]", targets_.classes()));
  }
  void evaluate(const std::vector<torch::Tensor>& outputs, const Batch& batch, Sums& sums) const override {
    add_loss(outputs, batch, sums);
    const torch::Tensor logits = outputs.at(0).to(torch::kCPU);
    sums.add("accuracy", total(logits.gt(0).eq(target_of(batch, 0).to(torch::kCPU).gt(0))), static_cast<double>(logits.numel()));
  }

 protected:
  torch::Tensor by_row(const std::vector<torch::Tensor>& outputs, const Batch& batch) const override {
    const torch::Tensor logits = outputs.at(0).to(torch::kFloat);
    return torch::binary_cross_entropy_with_logits(logits, target_of(batch, 0), {}, {}, at::Reduction::None).mean(1);
  }

 private:
  Targets targets_;
};

class SquaredError final : public Loss {
 public:
  SquaredError(const Config& config, const Bundle& bundle) : targets_(TargetKind::numbers, config, bundle) {}

  void check_item(const Item& item) const override {
    const std::int64_t count = targets_.of(item).numel();
    if (numbers_ > 0 && count != numbers_)
      throw usage_error(fmt::format("item {}: label '{}' has {} numbers, the network gives {}", item.index, item.column("label"),
                                    count, numbers_));
  }
  std::vector<torch::Tensor> targets(const Batch& rows) const override { return {targets_.of(rows)}; }
  void check_outputs(const std::vector<torch::Tensor>& outputs, std::int64_t rows) override {
    if (!is_rows(outputs, rows)) does_not_fit(outputs, "mse", "[B, numbers]");
    numbers_ = outputs[0].numel() / rows;
  }
  void evaluate(const std::vector<torch::Tensor>& outputs, const Batch& batch, Sums& sums) const override {
    add_loss(outputs, batch, sums);
    const torch::Tensor apart = difference(outputs, batch);
    sums.add("mae", total(apart.abs()), static_cast<double>(apart.numel()));
  }

 protected:
  torch::Tensor by_row(const std::vector<torch::Tensor>& outputs, const Batch& batch) const override {
    return difference(outputs, batch).square().mean(1);
  }

 private:
  /// [B, n].
  torch::Tensor difference(const std::vector<torch::Tensor>& outputs, const Batch& batch) const {
    const torch::Tensor found = outputs.at(0).to(torch::kFloat).reshape({batch.size(), -1});
    const torch::Tensor& wanted = target_of(batch, 0);
    if (wanted.size(1) != found.size(1))
      throw usage_error(fmt::format("item {}: the label has {} numbers, the network gives {}", batch.items[0]->index,
                                    wanted.size(1), found.size(1)));
    return found - wanted;
  }

  Targets targets_;
  std::int64_t numbers_ = 0; ///< per row of the network's output; 0: unknown
};

/// The network's own output is the loss.
class OwnScalar final : public Loss {
 public:
  void check_item(const Item&) const override {}
  void check_outputs(const std::vector<torch::Tensor>& outputs, std::int64_t rows) override {
    if (outputs.empty() || !outputs[0].defined() || !outputs[0].is_floating_point() ||
        (outputs[0].dim() != 0 && (outputs[0].dim() != 1 || (outputs[0].size(0) != rows && outputs[0].size(0) != 1))))
      does_not_fit(outputs, "output", "a single number, or [B]");
  }
  void evaluate(const std::vector<torch::Tensor>& outputs, const Batch& batch, Sums& sums) const override {
    add_loss(outputs, batch, sums);
  }

 protected:
  torch::Tensor by_row(const std::vector<torch::Tensor>& outputs, const Batch& batch) const override {
    return outputs.at(0).to(torch::kFloat).reshape({-1}).expand({batch.size()});
  }
};

} // namespace
} // namespace worker::train

torch::Tensor Loss::operator()(const std::vector<torch::Tensor>& outputs, const Batch& batch) const {
  return by_row(outputs, batch).mean();
}

void Loss::add_loss(const std::vector<torch::Tensor>& outputs, const Batch& batch, Sums& sums) const {
  sums.add("loss", train::total(by_row(outputs, batch)), static_cast<double>(batch.size()));
}

std::unique_ptr<Loss> make_loss(const Config& config, const Bundle& bundle) {
  const auto name = config.get<std::string>("loss");
  if (name == "cross_entropy") return std::make_unique<train::CrossEntropy>(config, bundle);
  if (name == "bce") return std::make_unique<train::BinaryCrossEntropy>(config, bundle);
  if (name == "mse") return std::make_unique<train::SquaredError>(config, bundle);
  if (name == "ctc") return train::make_ctc_loss(config, bundle);
  if (name == "output") return std::make_unique<train::OwnScalar>();
  throw usage_error(fmt::format("--loss: '{}' is not one of cross_entropy, bce, mse, ctc, output", name));
}

} // namespace mgpu
