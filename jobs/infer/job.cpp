// The agent's side of `infer`: that of any job with one bundle, and its examples.
#include "mgpu/bundle_job.hpp"

namespace {

class InferJob final : public mgpu::BundleJob {
 public:
  std::string summary() const override { return "run a model over images or audio: one row of results an item"; }

  std::string examples() const override {
    return "  mpirun -np 8 mgpu_run infer --model resnet_bundle/ --input photos/ --output photos.h5\n"
           "  mgpu_run infer --model net.pt --image-size 224 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --input list.txt "
           "--output out.h5\n"
           "  mpirun -np 4 mgpu_run infer --model speech.pt2 --sample-rate 16000 --input calls.csv --batch-size 8 --output "
           "calls.h5";
  }
};

} // namespace

MGPU_JOB(infer, InferJob)
