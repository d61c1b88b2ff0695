// The agent's side of `train`: that of any training job, and its examples.
#include "mgpu/training_job.hpp"

namespace {

class TrainJob final : public mgpu::TrainingJob {
 public:
  std::string summary() const override { return "train a network over labelled images or audio, one rank a GPU"; }

  std::string examples() const override {
    return "  mpirun -np 8 mgpu_run train --model resnet18/ --input train/ --validate val/ --output run.h5 --save best.pt --lr "
           "0.1 "
           "--lr-scaling linear --warmup 5e --epochs 90 --batch-size 64 --dtype bfloat16 --augment crop,flip\n"
           "  mpirun -np 2 mgpu_run train --model net.pt --image-size 32 --input train.csv --validate val.csv --optimizer adamw "
           "--lr 0.001 --lr-schedule cosine --epochs 20 --experiment-name digits\n"
           "  mpirun -np 4 mgpu_run train --model speech/ --loss ctc --input calls.csv --label-column text --validate "
           "held_out.csv "
           "--output speech.h5 --save speech.pt --resume";
  }
};

} // namespace

MGPU_JOB(train, TrainJob)
