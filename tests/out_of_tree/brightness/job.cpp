#include "mgpu/job.hpp"

#include <ostream>

namespace {

/// Mean brightness of every picture, 0 (black) to 1 (white), and over all of them.
class Brightness : public mgpu::Job {
 public:
  std::string summary() const override { return "mean brightness of every picture"; }
  std::string examples() const override { return "brightness_run brightness --input photos/ --output brightness.h5"; }
  mgpu::Media media(const mgpu::Config&) const override { return mgpu::Media::images; }

  void finish(const mgpu::Config&, const mgpu::Results& results, std::ostream& out) const override {
    const auto status = results.status();
    const auto brightness = results.numbers("brightness");
    double sum = 0;
    std::size_t count = 0;
    for (std::size_t row = 0; row < status.size(); ++row) {
      if (status[row] != mgpu::Status::ok) continue;
      sum += brightness[row];
      ++count;
    }
    if (count > 0) out << "mean brightness of " << count << " pictures: " << sum / static_cast<double>(count) << '\n';
  }
};

} // namespace

MGPU_JOB(brightness, Brightness)
