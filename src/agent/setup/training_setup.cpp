#include "agent/setup/training_setup.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent/cli/stages.hpp"
#include "agent/setup/run_setup.hpp"
#include "agent/write/journal/identity.hpp"
#include "common/support/hash.hpp"
#include "common/support/text.hpp"

namespace mgpu::agent {

namespace {

namespace fs = std::filesystem;

void set_if_empty(Config& config, const char* option, const std::string& value) {
  if (config.get<std::string>(option).empty()) config.set(option, value);
}

void check_save(const std::string& path) {
  if (path.empty()) return;
  const fs::path folder = fs::path(path).parent_path();
  std::error_code error;
  if (fs::is_directory(path, error)) throw usage_error(fmt::format("--save {}: is a folder; give a file such as best.pt", path));
  if (!folder.empty() && !fs::is_directory(folder, error))
    throw usage_error(fmt::format("--save {}: there is no folder {}; make it first", path, show_path(folder.string())));
  if (::access(folder.empty() ? "." : folder.c_str(), W_OK | X_OK) != 0)
    throw usage_error(fmt::format("--save {}: its folder is not writable", path));
}

/// Compares the facts that must not change when a training is resumed.
void check_same_training(const RunSetup& setup, const Checkpoint& checkpoint) {
  const nlohmann::json& was = checkpoint.json;
  const auto refuse = [&](const std::string& what, const std::string& before, const std::string& now) {
    throw usage_error(fmt::format("--resume: checkpoint {} was made with {} {}, this run has {}; give the same, or --overwrite",
                                  show_path(checkpoint.folder), what, before, now));
  };
  const nlohmann::json& config = was.value("config", nlohmann::json::object());
  for (const char* option : {"loss", "optimizer", "seed", "no-shuffle"})
    if (config.contains(option) && config.at(option) != setup.config.json().at(option))
      refuse(fmt::format("--{}", option), config.at(option).dump(), setup.config.json().at(option).dump());
  if (const auto items = was.value("items", setup.manifest.size()); items != setup.manifest.size())
    refuse("a training set of", fmt::format("{} items", items), std::to_string(setup.manifest.size()));
  const nlohmann::json made_of =
      was.value("made_of", nlohmann::json::object()); // none in checkpoints of 0.1.0 before this was kept
  for (const auto& [what, sha256] : made_of.items())
    if (const std::string now = setup.training->made_of.value(what, ""); now != sha256)
      refuse(fmt::format("{} of SHA-256", what), fmt::format("{:.16}…", sha256.get<std::string>()), fmt::format("{:.16}…", now));
  const auto classes = was.value("classes", setup.training->classes);
  if (classes != setup.training->classes)
    refuse("the classes", fmt::format("{}", fmt::join(classes, ", ")),
           fmt::format("{}", fmt::join(setup.training->classes, ", ")));
  const auto batch = was.value("global_batch", std::int64_t{0});
  const auto wanted = setup.config.get<std::int64_t>("global-batch");
  if (batch > 0 && wanted > 0 && batch != wanted) refuse("a global batch of", std::to_string(batch), std::to_string(wanted));
}

/// Makes the folder: only that proves, before any work, that it can be made.
std::shared_ptr<write::OutputLock> lock_checkpoints(const std::string& folder, bool resume) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error || ::access(folder.c_str(), W_OK | X_OK) != 0)
    throw usage_error(fmt::format("--checkpoint-dir {}: this folder cannot be made or written", show_path(folder)));
  return write::OutputLock::take(folder + "/lock", fmt::format("--checkpoint-dir {}", show_path(folder)),
                                 std::chrono::seconds(resume ? 30 : 0));
}

std::optional<Checkpoint> find_checkpoint(const RunSetup& setup) {
  const std::string& folder = setup.training->checkpoints;
  if (setup.config.get<bool>("resume")) {
    auto checkpoint = Checkpoints::newest(folder);
    if (checkpoint) check_same_training(setup, *checkpoint);
    return checkpoint;
  }
  if (!setup.config.get<bool>("overwrite") && !setup.dry_run && Checkpoints::any(folder))
    throw usage_error(
        fmt::format("--checkpoint-dir {}: holds checkpoints of an earlier training; --resume continues it, --overwrite "
                    "starts over",
                    show_path(folder)));
  return std::nullopt;
}

} // namespace

Config resolve_training(const Config& config) {
  Config resolved = config;
  if (config.get<double>("lr") == 0) resolved.set("lr", config.get<std::string>("optimizer") == "adamw" ? 0.001 : 0.1);
  if (const auto name = config.get<std::string>("experiment-name"); !name.empty()) {
    if (name.find('/') != std::string::npos || name.starts_with('.'))
      throw usage_error(fmt::format("--experiment-name {}: a plain name, it becomes the folder runs/NAME", name));
    const fs::path folder = fs::path("runs") / name;
    set_if_empty(resolved, "output", folder / "result.h5");
    set_if_empty(resolved, "save", folder / "best.pt");
    set_if_empty(resolved, "log-dir", folder / "logs");
    set_if_empty(resolved, "checkpoint-dir", folder / "checkpoints");
    std::error_code error;
    if (!config.get<bool>("dry-run")) fs::create_directories(folder, error);
    if (error)
      throw usage_error(fmt::format("--experiment-name {}: {} cannot be made: {}", name, folder.string(), error.message()));
  }
  // Workers may run in another working folder.
  const auto absolute = [&](const char* option) {
    const auto path = resolved.get<std::string>(option);
    if (!path.empty()) resolved.set(option, fs::absolute(path).lexically_normal().string());
  };
  if (const auto output = resolved.get<std::string>("output"); !output.empty())
    set_if_empty(resolved, "checkpoint-dir", output + ".checkpoints");
  absolute("checkpoint-dir");
  absolute("save");
  return resolved;
}

void prepare_training(RunSetup& setup) {
  TrainingSetup& training = setup.training.emplace();
  Config& config = setup.config;
  const auto loss = config.get<std::string>("loss");
  const auto column = config.get<std::string>("label-column");
  const bool required = loss != "output";
  const Bundle bundle = setup.model.empty() ? Bundle{} : Bundle::open(setup.model, config);
  check_save(config.get<std::string>("save"));
  training.checkpoints = config.get<std::string>("checkpoint-dir");
  config.set("stages", cli::read_stages(config));

  LabelledSet train{fmt::format("--input {}", config.get<std::string>("input")), std::move(setup.manifest), {}};
  read_labels(train, config.get<std::string>("input"), column, required);
  if (loss == "cross_entropy" || loss == "bce")
    training.classes = bundle.labels.empty() ? find_classes(train, loss) : bundle.labels;
  check_labels(train, loss, training.classes, bundle);
  if (const auto path = config.get<std::string>("validate"); !path.empty()) {
    manifest::ReadOptions read;
    read.media = setup.media;
    LabelledSet& held_out =
        training.validation.emplace(LabelledSet{fmt::format("--validate {}", path), manifest::Manifest::read(path, read), {}});
    read_labels(held_out, path, column, required);
    check_labels(held_out, loss, training.classes, bundle);
    for (const std::string& name : setup.item_columns)
      if (!held_out.manifest.column(name))
        throw usage_error(fmt::format("--validate {}: the table has no column '{}'", path, name));
  }
  config.set("classes", training.classes);
  // The hash of a list covers its paths and columns, labels among them.
  training.made_of["--input"] = write::sha256_of(train.manifest);
  training.made_of["--validate"] = training.validation ? write::sha256_of(training.validation->manifest) : "";
  training.made_of["--model"] = setup.model.empty() ? "" : sha256_of(setup.model);
  setup.manifest = std::move(train.manifest);
  training.labels = std::move(train.labels);
  if (!setup.dry_run) training.checkpoints_lock = lock_checkpoints(training.checkpoints, config.get<bool>("resume"));
  training.begin = find_checkpoint(setup);
  if (const auto name = config.get<std::string>("experiment-name"); !name.empty() && !setup.dry_run)
    std::ofstream(fs::path("runs") / name / "config.json") << config.json().dump(1) << '\n';
}

} // namespace mgpu::agent
