// The worker's side of `train`: a TorchScript network with the bundle's preprocessing and the loss of --loss.
#include <optional>
#include <utility>

#include "mgpu/losses.hpp"
#include "mgpu/script_network.hpp"
#include "mgpu/training.hpp"
#include "mgpu/training_preprocessor.hpp"

namespace {

class TrainWork final : public mgpu::Training {
 public:
  void open(const mgpu::RankContext& context) override {
    bundle_ = mgpu::Bundle::open(context.model_path, context.config);
    if (bundle_.labels.empty()) bundle_.labels = context.config.get<std::vector<std::string>>("classes");
    preprocessor_.emplace(bundle_, context);
    network_.emplace(bundle_.model, context.device);
    loss_ = mgpu::make_loss(context.config, bundle_);
  }

  std::optional<mgpu::RowSpec> row_spec() const override { return preprocessor_->row_spec(); }
  torch::Tensor trial_row(int variant) const override {
    return row_spec() ? Training::trial_row(variant) : preprocessor_->trial_row(variant);
  }

  std::vector<mgpu::NamedTensor> parameters() override { return network_->parameters(); }
  std::vector<mgpu::NamedTensor> buffers() override { return network_->buffers(); }
  void set_training(bool on) override { network_->set_training(on); }

  void prepare(const mgpu::Item& item, const mgpu::Variation& variation, mgpu::Sample& sample) override {
    preprocessor_->prepare(item, variation, sample);
  }

  std::vector<torch::Tensor> targets(const mgpu::Batch& rows) const override { return loss_->targets(rows); }
  torch::Tensor loss(const mgpu::Batch& batch) override {
    const auto outputs = forward(batch);
    if (!std::exchange(checked_, true)) loss_->check_outputs(outputs, batch.size());
    return (*loss_)(outputs, batch);
  }
  void evaluate(const mgpu::Batch& batch, mgpu::Sums& sums) override { loss_->evaluate(forward(batch), batch, sums); }

  std::vector<std::string> remarks() const override { return preprocessor_->remarks(); }
  std::vector<std::string> labels() const override { return bundle_.labels; }
  void save(const std::string& path) override { network_->save(path, bundle_); }

 private:
  std::vector<torch::Tensor> forward(const mgpu::Batch& batch) {
    std::vector<torch::Tensor> inputs{preprocessor_->model_input(batch.input)};
    if (network_->inputs() > 1) inputs.push_back(batch.lengths);
    return network_->call(inputs);
  }

  mgpu::Bundle bundle_;
  std::optional<mgpu::TrainingPreprocessor> preprocessor_;
  std::optional<mgpu::ScriptNetwork> network_;
  std::unique_ptr<mgpu::Loss> loss_;
  bool checked_ = false; ///< the outputs were checked against the loss
};

} // namespace

MGPU_TRAINING(train, TrainWork)
