#include "worker/train/losses/ctc_loss.hpp"

#include <fmt/format.h>

#include "common/support/edit_distance.hpp"
#include "mgpu/ctc.hpp"
#include "mgpu/targets.hpp"
#include "worker/device/torch.hpp"
#include "worker/train/losses/loss_shapes.hpp"
#include "worker/train/losses/text_units.hpp"

namespace mgpu::worker::train {

namespace {

class CtcLoss final : public Loss {
 public:
  CtcLoss(const Config& config, const Bundle& bundle) : targets_(TargetKind::symbols, config, bundle), spec_(*bundle.ctc) {}

  void check_item(const Item& item) const override { targets_.of(item); }
  /// Symbols [B, longest], and their number per row [B].
  std::vector<torch::Tensor> targets(const Batch& rows) const override {
    std::vector<std::int64_t> lengths;
    torch::Tensor symbols = targets_.of(rows, &lengths);
    return {std::move(symbols), torch::tensor(lengths, torch::kLong)};
  }

  void check_outputs(const std::vector<torch::Tensor>& outputs, std::int64_t rows) override {
    const auto classes = static_cast<std::int64_t>(spec_.vocabulary.size());
    if (outputs.empty() || !outputs[0].defined() || outputs[0].dim() != 3 || outputs[0].size(0) != rows ||
        outputs[0].size(2) != classes || !outputs[0].is_floating_point())
      does_not_fit(outputs, "ctc", fmt::format("[B, frames, {}]", classes));
    // Logits instead of log-probabilities would train slowly and wrongly; their exponentials do not sum to 1.
    constexpr double tolerance = 0.05; // the error of bfloat16
    const torch::Tensor sums = outputs[0].detach().to(torch::kFloat).logsumexp(2).abs();
    if (sums.numel() > 0 && !(sums.max().item<double>() <= tolerance))
      throw usage_error("ctc needs log-probabilities: let the network end in log_softmax over its last dimension");
  }

  void evaluate(const std::vector<torch::Tensor>& outputs, const Batch& batch, Sums& sums) const override {
    add_loss(outputs, batch, sums);
    const auto heard = greedy_transcripts(outputs.at(0), ctc_frames(outputs, batch), spec_);
    for (std::size_t row = 0; row < heard.size(); ++row) {
      const std::string_view said = batch.items[row]->column("label");
      const auto characters = characters_of(said);
      const auto words = words_of(said);
      sums.add("cer", static_cast<double>(edit_distance(characters_of(heard[row].text), characters)),
               static_cast<double>(characters.size()));
      sums.add("wer", static_cast<double>(edit_distance(words_of(heard[row].text), words)), static_cast<double>(words.size()));
    }
  }

 protected:
  torch::Tensor by_row(const std::vector<torch::Tensor>& outputs, const Batch& batch) const override {
    const torch::Tensor frames_first = outputs.at(0).to(torch::kFloat).transpose(0, 1);
    const std::vector<std::int64_t> frames = ctc_frames(outputs, batch);
    const torch::Tensor& lengths = target_of(batch, 1);
    // PyTorch needs the lengths on the host.
    const torch::Tensor on_host = batch.host_targets.size() > 1 ? batch.host_targets[1] : lengths.to(torch::kCPU);
    const at::IntArrayRef symbols(on_host.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(on_host.numel()));
    const torch::Tensor rows = torch::ctc_loss(frames_first, target_of(batch, 0), frames, symbols, spec_.blank,
                                               at::Reduction::None, /*zero_infinity=*/true);
    // As PyTorch's "mean": per symbol, so that long sentences do not outweigh short ones.
    return rows / lengths.clamp_min(1).to(rows.scalar_type());
  }

 private:
  Targets targets_;
  CtcSpec spec_;
};

} // namespace

std::unique_ptr<Loss> make_ctc_loss(const Config& config, const Bundle& bundle) {
  return std::make_unique<CtcLoss>(config, bundle);
}

} // namespace mgpu::worker::train
