// The agent's side of `infer`: options, and the accuracy at the end.
#include <ostream>

#include "mgpu/bundle.hpp"
#include "mgpu/bundle_options.hpp"
#include "mgpu/job.hpp"

namespace {

using mgpu::Config;

class InferJob final : public mgpu::Job {
 public:
  std::string summary() const override { return "run a model over images or audio: one row of results an item"; }

  std::string examples() const override {
    return "  mpirun -np 8 mgpu_run infer --model resnet_bundle/ --input photos/ --output photos.h5\n"
           "  mgpu_run infer --model net.pt --image-size 224 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --input list.txt --output out.h5\n"
           "  mpirun -np 4 mgpu_run infer --model speech.pt2 --sample-rate 16000 --input calls.csv --batch-size 8 --output calls.h5";
  }

  std::vector<mgpu::OptionSpec> options() const override { return mgpu::bundle_options(); }

  void check(const Config& config) const override {
    if (config.get<std::string>("model").empty()) throw mgpu::usage_error("--model is missing: a .pt, a .pt2 or a bundle folder");
    mgpu::Bundle::open(config.get<std::string>("model"), config);
  }

  mgpu::Media media(const Config& config) const override {
    const auto bundle = mgpu::Bundle::open(config.get<std::string>("model"), config);
    return bundle.image ? mgpu::Media::images : mgpu::Media::audio;
  }

  std::vector<std::string> item_columns(const Config& config) const override {
    const auto label = config.get<std::string>("label-column");
    return label.empty() ? std::vector<std::string>{} : std::vector<std::string>{label};
  }

  void finish(const Config& config, const mgpu::Results& results, std::ostream& out) const override {
    const auto label = config.get<std::string>("label-column");
    if (label.empty()) return;
    const auto bundle = mgpu::Bundle::open(config.get<std::string>("model"), config);
    mgpu::print_accuracy(results, bundle.labels, label, out);
  }
};

} // namespace

MGPU_JOB(infer, InferJob)
