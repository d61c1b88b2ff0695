// The worker's side of `infer`: the model's outputs for each item; for classifiers also the best classes, for speech the text. For
// detectors the boxes, and the outputs only if the bundle names them: a YOLO head is megabytes per picture.
#include <algorithm>
#include <optional>

#include "mgpu/ctc.hpp"
#include "mgpu/detection_heads.hpp"
#include "mgpu/network.hpp"
#include "mgpu/work.hpp"

namespace {

class InferWork final : public mgpu::Work {
 public:
  void open(const mgpu::RankContext& context) override {
    network_.emplace(context);
    topk_ = context.config.get<std::int64_t>("topk");
    const auto& bundle = network_->bundle();
    if (topk_ == 0 && !bundle.detection && (!bundle.labels.empty() || bundle.task == "classification")) topk_ = 1;
  }

  std::optional<mgpu::RowSpec> row_spec() const override { return network_->preprocessor().row_spec(); }

  torch::Tensor trial_row(int variant) const override {
    return row_spec() ? Work::trial_row(variant) : network_->preprocessor().trial_row(variant);
  }

  std::vector<std::string> labels() const override { return network_->bundle().labels; }

  std::vector<std::string> remarks() const override { return network_->preprocessor().remarks(); }

  void prepare(const mgpu::Item& item, mgpu::Sample& sample) override { network_->preprocessor().prepare(item, sample); }

  void run(const mgpu::Batch& batch, mgpu::Outputs& outputs) override {
    const auto results = network_->call(batch);
    const auto& detection = network_->bundle().detection;
    if (!detection || !network_->bundle().outputs.empty()) network_->add_outputs(batch, results, outputs);
    if (detection) mgpu::add_detections(results.at(0).tensor, batch, *detection, outputs);
    if (topk_ > 0) mgpu::add_classes(results.at(0).tensor, topk_, outputs);
    if (const auto& ctc = network_->bundle().ctc) mgpu::add_transcripts(mgpu::tensors_of(results), batch, *ctc, outputs);
  }

 private:
  std::optional<mgpu::Network> network_;
  std::int64_t topk_ = 0;
};

} // namespace

MGPU_WORK(infer, InferWork)
