#include "worker/train/progress.hpp"

#include <gtest/gtest.h>

namespace mgpu::worker::train {
namespace {

Progress halfway() {
  Progress progress(true, 10);
  progress.step = 40;
  progress.updates = 17;
  progress.stage = 1;
  progress.micro_batch = MicroBatch(32);
  progress.micro_batch.halve(32);
  progress.micro_batch.agree(8);
  progress.micro_batch.note_good_step();
  progress.loss_scale.note(false);
  progress.loss_scale.note(true);
  progress.non_finite.restore(3);
  progress.best.restore(0.875, 30);
  return progress;
}

TEST(Progress, HasTheKeysOfACheckpoint) {
  const nlohmann::json expected{{"step", 40},          {"updates", 17},         {"stage", 1},
                                {"micro_batch", 8},    {"micro_patience", 200}, {"micro_good_steps", 1},
                                {"micro_grew", false}, {"loss_scale", 32768.0}, {"loss_scale_good_steps", 1},
                                {"not_finite", 3},     {"best", 0.875},         {"best_step", 30}};
  EXPECT_EQ(halfway().to_json(), expected);
  EXPECT_FALSE(Progress(true, 10).to_json().contains("best"));
}

TEST(Progress, ContinuesFromACheckpoint) {
  const nlohmann::json state = halfway().to_json();
  Progress progress(true, 10);
  progress.step = 40;
  progress.stage = 1;
  progress.micro_batch = MicroBatch(32);
  progress.restore(state);
  EXPECT_EQ(progress.to_json(), state);
}

TEST(Progress, WithoutAValidationHasNoBest) {
  Progress progress(false, 10);
  progress.restore(Progress(false, 10).to_json());
  EXPECT_FALSE(progress.best.value());
}

} // namespace
} // namespace mgpu::worker::train
