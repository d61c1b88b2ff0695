#include "worker/train/progress.hpp"

namespace mgpu::worker::train {

nlohmann::json Progress::to_json() const {
  nlohmann::json json{{"step", step},
                      {"updates", updates},
                      {"stage", stage},
                      {"micro_batch", micro_batch.rows()},
                      {"micro_patience", micro_batch.patience()},
                      {"micro_good_steps", micro_batch.good_steps()},
                      {"micro_grew", micro_batch.grew()},
                      {"loss_scale", loss_scale.scale()},
                      {"loss_scale_good_steps", loss_scale.good_steps()},
                      {"not_finite", non_finite.in_a_row()}};
  if (best.value()) {
    json["best"] = *best.value();
    json["best_step"] = best.step();
  }
  return json;
}

void Progress::restore(const nlohmann::json& state) {
  updates = state.at("updates");
  micro_batch.restore(state.at("micro_batch"), state.at("micro_patience"), state.at("micro_good_steps"), state.at("micro_grew"));
  loss_scale.restore(state.at("loss_scale"), state.at("loss_scale_good_steps"));
  non_finite.restore(state.at("not_finite"));
  if (state.contains("best")) best.restore(state.at("best"), state.at("best_step"));
}

} // namespace mgpu::worker::train
