#include "mgpu/work.hpp"

#include <torch/types.h>

#include <numeric>

#include "mgpu/load.hpp"

namespace {

/// Needs no model: a picture is prepared to its mean, and a batch of means is the result.
class BrightnessWork : public mgpu::Work {
 public:
  void open(const mgpu::RankContext&) override {}
  std::optional<mgpu::RowSpec> row_spec() const override { return mgpu::RowSpec{{}, at::kFloat}; }

  void prepare(const mgpu::Item& item, mgpu::Sample& sample) override {
    const mgpu::Picture grey = mgpu::decode_picture(item, 1);
    const auto sum = std::accumulate(grey.pixels.begin(), grey.pixels.end(), std::uint64_t{0});
    sample.input.fill_(static_cast<double>(sum) / (255.0 * static_cast<double>(grey.pixels.size())));
  }

  void run(const mgpu::Batch& batch, mgpu::Outputs& outputs) override { outputs.add("brightness", batch.input); }
};

} // namespace

MGPU_WORK(brightness, BrightnessWork)
