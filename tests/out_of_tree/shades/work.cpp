#include "mgpu/load.hpp"

#include <torch/torch.h>
#include "mgpu/losses.hpp"
#include "mgpu/training.hpp"

namespace {

class ShadesTraining : public mgpu::Training {
 public:
  void open(const mgpu::RankContext& context) override {
    torch::manual_seed(1); // the same beginning on every rank
    loss_ = mgpu::make_loss(context.config, mgpu::Bundle{});
    const auto classes = static_cast<std::int64_t>(loss_->labels().size());
    network_ = torch::nn::Sequential(torch::nn::Linear(1, 16), torch::nn::ReLU(), torch::nn::Linear(16, classes));
    network_->to(context.device);
  }
  std::optional<mgpu::RowSpec> row_spec() const override { return mgpu::RowSpec{{1}, torch::kFloat32}; }

  std::vector<mgpu::NamedTensor> parameters() override {
    std::vector<mgpu::NamedTensor> parameters;
    for (const auto& each : network_->named_parameters()) parameters.push_back({each.key(), each.value()});
    return parameters;
  }
  void set_training(bool on) override { network_->train(on); }

  void prepare(const mgpu::Item& item, const mgpu::Variation&, mgpu::Sample& sample) override {
    const mgpu::Picture grey = mgpu::decode_picture(item, 1);
    double sum = 0;
    for (const std::uint8_t pixel : grey.pixels) sum += pixel;
    sample.input.fill_(sum / (128.0 * static_cast<double>(grey.pixels.size())) - 1);
  }

  std::vector<torch::Tensor> targets(const mgpu::Batch& rows) const override { return loss_->targets(rows); }
  torch::Tensor loss(const mgpu::Batch& batch) override { return (*loss_)({network_->forward(batch.input)}, batch); }
  void evaluate(const mgpu::Batch& batch, mgpu::Sums& sums) override {
    loss_->evaluate({network_->forward(batch.input)}, batch, sums);
  }
  std::vector<std::string> labels() const override { return loss_->labels(); }
  void save(const std::string& path) override { torch::save(network_, path); }

 private:
  torch::nn::Sequential network_;
  std::unique_ptr<mgpu::Loss> loss_;
};

} // namespace

MGPU_TRAINING(shades, ShadesTraining)
