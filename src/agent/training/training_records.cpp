#include "agent/training/training_records.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "common/support/clock.hpp"
#include "common/support/say.hpp"
#include "common/support/text.hpp"

namespace mgpu::agent {

void TrainingRecords::open(const std::optional<Checkpoint>& begin, int ranks) {
  const std::uint64_t step = begin ? begin->step : 0;
  const std::string curves = write::History::path_of(setup_.output);
  checkpoints_.emplace(setup_.training->checkpoints, keep_, ranks);
  checkpoints_->begin(step);
  history_.reset();
  if (step == 0) {
    history_ = write::History::create(curves);
    return;
  }
  history_ = write::History::resume(curves, step, begin->json.value("validations", std::uint64_t{0}));
  if (history_->last_step() != step)
    print_warning(fmt::format("{} ends at step {}, the checkpoint at {}: /training will have a gap", show_path(curves),
                              history_->last_step(), step));
}

std::vector<std::string> TrainingRecords::complete(const std::function<nlohmann::json()>& facts) {
  std::vector<std::string> folders;
  for (const std::uint64_t step : checkpoints_->ready()) {
    if (history_->last_step() < step) continue;
    history_->sync();
    nlohmann::json content = facts();
    content["validations"] = history_->validations(step);
    last_checkpoint_ = checkpoints_->complete(step, std::move(content));
    folders.push_back(last_checkpoint_);
  }
  return folders;
}

std::vector<write::Series> TrainingRecords::series() {
  history_->sync();
  return history_->series();
}

void TrainingRecords::remove_curves() noexcept {
  history_.reset();
  std::error_code ignored;
  std::filesystem::remove(write::History::path_of(setup_.output), ignored);
}

/// The lock file may be removed: a process that waits for it makes a new one.
void TrainingRecords::remove_empty_folder() const noexcept {
  const std::string& folder = setup_.training->checkpoints;
  std::error_code ignored;
  if (!Checkpoints::any(folder)) std::filesystem::remove(folder + "/lock", ignored);
  std::filesystem::remove(folder, ignored);
}

nlohmann::json checkpoint_facts(const RunSetup& setup, const Config& config, const TrainingPlan& plan,
                                const wire::Trainable& trainable, const UnusableItems& unusable) {
  nlohmann::json options = config.json();
  options.erase("classes"); // has its own key
  return {{"job", setup.job_name},
          {"model", setup.model},
          {"signature", trainable.signature},
          {"parameters", trainable.parameters},
          {"items", setup.manifest.size()},
          {"made_of", setup.training->made_of},
          {"classes", setup.training->classes},
          {"batch_size", plan.batch_size},
          {"global_batch", plan.global_batch},
          {"lr_reference", plan.lr_reference},
          {"skipped", UnusableItems::list(unusable.skipped)},
          {"given_up", UnusableItems::list(unusable.given_up)},
          {"saved", utc_now()},
          {"config", options}};
}

} // namespace mgpu::agent
