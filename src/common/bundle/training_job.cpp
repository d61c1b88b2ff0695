#include "mgpu/training_job.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "mgpu/augmentation.hpp"
#include "mgpu/bundle.hpp"

namespace mgpu {

namespace {

/// A number and the text after it; nullopt if there is no number.
std::optional<std::pair<double, std::string_view>> number_and_unit(const std::string& text) {
  double value = 0;
  const char* end_of_text = text.data() + text.size();
  const auto [end, problem] = std::from_chars(text.data(), end_of_text, value);
  if (problem != std::errc() || !std::isfinite(value) || value < 0) return std::nullopt;
  return std::pair(value, std::string_view(end, static_cast<std::size_t>(end_of_text - end)));
}

void check_period(const Config& config, const std::string& option) {
  const auto text = config.get<std::string>(option);
  const auto parts = number_and_unit(text);
  if (!parts || (parts->second != "e" && (!parts->second.empty() || parts->first != std::floor(parts->first))))
    throw usage_error(
        fmt::format("--{} {}: epochs such as 1e or 0.5e, or a whole number of steps", option, text.empty() ? "''" : text));
}

void check_below_one(const Config& config, const std::string& option) {
  const auto value = config.get<double>(option);
  if (!(value < 1)) throw usage_error(fmt::format("--{} {}: less than 1 is expected", option, value));
}

void check_cache(const std::string& text) {
  const auto parts = number_and_unit(text);
  if (text != "auto" && text != "none" && (!parts || !parts->second.empty()))
    throw usage_error(fmt::format("--cache {}: auto, none, or a number of MB", text));
}

} // namespace

void TrainingJob::check(const Config& config) const {
  BundleJob::check(config);
  const Bundle bundle = Bundle::open(config.get<std::string>("model"), config);
  if (bundle.model.ends_with(".pt2"))
    throw usage_error(fmt::format("--model {}: a compiled network cannot be trained; give the TorchScript .pt", bundle.model));
  for (const char* option : {"validate-every", "checkpoint-every", "warmup"}) check_period(config, option);
  for (const char* option : {"label-smoothing", "momentum", "beta1", "beta2"}) check_below_one(config, option);
  Augmentation::read(config.get<std::string>("augment"), bundle.image.has_value());
  check_cache(config.get<std::string>("cache"));
  if (config.get<bool>("nesterov") && config.get<double>("momentum") == 0)
    throw usage_error("--nesterov needs a --momentum above 0");
  if (config.get<double>("label-smoothing") > 0 && config.get<std::string>("loss") != "cross_entropy")
    throw usage_error("--label-smoothing belongs to --loss cross_entropy");
  for (const char* option : {"epochs", "accumulate", "lr-step-epochs"})
    if (config.get<std::int64_t>(option) < 1) throw usage_error(fmt::format("--{} 0: there would be nothing to train", option));
  if (config.get<bool>("cuda-graph") && config.get<std::string>("loss") == "ctc")
    throw usage_error("--cuda-graph: --loss ctc cannot be recorded: it needs the lengths of its rows on the host");
  if (config.get<bool>("cuda-graph") && config.get<bool>("find-unused-parameters"))
    throw usage_error(
        "--cuda-graph: a recorded step uses the same parameters every time; it does not go with --find-unused-parameters");
  if (config.get<double>("reduce-timeout") <= 0) throw usage_error("--reduce-timeout 0: every wait has an end; give seconds");
  if (config.get<std::string>("ship") == "bytes")
    throw usage_error("--ship bytes: a training reads its files again every epoch; put them where every rank finds them");
}

} // namespace mgpu
