#include "mgpu/training_job.hpp"

namespace {

class Shades : public mgpu::TrainingJob {
 public:
  std::string summary() const override { return "learns to tell dark pictures from bright ones"; }
  std::string examples() const override { return "shades_run shades --input train/ --validate test/ --output shades.h5"; }
  void check(const mgpu::Config&) const override {} // the network is made in C++: no --model
  mgpu::Media media(const mgpu::Config&) const override { return mgpu::Media::images; }
};

} // namespace

MGPU_JOB(shades, Shades)
