#include "agent/cli/stages.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <sstream>

namespace mgpu::agent::cli {

namespace {

using nlohmann::json;

struct Place {
  std::string file;
  std::size_t stage = 0;
  [[noreturn]] void fail(const std::string& what) const {
    throw usage_error(stage == 0 ? fmt::format("--stages {}: {}", file, what)
                                 : fmt::format("--stages {}: stage {}: {}", file, stage, what));
  }
};

double read_number(const CLI::ConfigItem& item, const Place& place, double least, double most) {
  const json value = item.inputs.size() == 1 ? json::parse(item.inputs.front(), nullptr, false) : json();
  if (!value.is_number() || value.get<double>() < least || value.get<double>() > most)
    place.fail(fmt::format("{} = {}: a number from {} to {} is expected", item.name, fmt::join(item.inputs, ", "), least, most));
  return value.get<double>();
}

std::int64_t read_count(const CLI::ConfigItem& item, const Place& place) {
  const json value = item.inputs.size() == 1 ? json::parse(item.inputs.front(), nullptr, false) : json();
  if (!value.is_number_integer() || value.get<std::int64_t>() < 1)
    place.fail(fmt::format("{} = {}: a whole number, 1 or more, is expected", item.name, fmt::join(item.inputs, ", ")));
  return value.get<std::int64_t>();
}

void read_key(const CLI::ConfigItem& item, const Place& place, json& stage) {
  constexpr double any = 1e6;
  constexpr double least_share = 1e-9; // greater than 0
  const std::string& key = item.name;
  if (stage.contains(key)) place.fail(fmt::format("{} stands twice", key));
  if (key == "name")
    stage[key] = item.inputs.empty() ? "" : item.inputs.front();
  else if (key == "freeze")
    stage[key] = item.inputs;
  else if (key == "epochs" || key == "batch_size")
    stage[key] = read_count(item, place);
  else if (key == "lr" || key == "augment_strength")
    stage[key] = read_number(item, place, 0, any);
  else if (key == "subset" || key == "train_last")
    stage[key] = read_number(item, place, least_share, 1);
  else
    place.fail(fmt::format(
        "there is no key '{}'; known are name, epochs, lr, freeze, train_last, batch_size, augment_strength, subset", key));
}

json stage(const char* name, std::int64_t epochs, double lr) {
  return {{"name", name}, {"epochs", std::max<std::int64_t>(epochs, 1)}, {"lr", lr}};
}

/// For a pretrained network: first only the new head, which would otherwise disturb the pretrained weights, then more layers.
json gentle(std::int64_t epochs, double lr) {
  json head = stage("head", epochs / 5, lr);
  head["train_last"] = 0.01; // the last layer, whatever the network's size
  head["augment_strength"] = 0.5;
  json upper = stage("upper half", epochs * 3 / 10, lr / 3);
  upper["train_last"] = 0.5;
  return {head, upper, stage("all", epochs - epochs / 5 - epochs * 3 / 10, lr / 10)};
}

/// For an untrained network: a high learning rate and strong augmentation first, then a low rate and weak augmentation.
json aggressive(std::int64_t epochs, double lr) {
  json fast = stage("fast", epochs - epochs / 4, lr);
  fast["augment_strength"] = 1.5;
  json settle = stage("settle", epochs / 4, lr / 10);
  settle["augment_strength"] = 0.5;
  return {fast, settle};
}

} // namespace

json parse_stages(const std::string& text, const std::string& path, const Config& config) {
  std::vector<CLI::ConfigItem> items;
  Place place{path};
  try {
    std::istringstream stream(text);
    items = CLI::ConfigTOML().from_config(stream);
  } catch (const CLI::Error& error) {
    place.fail(error.what());
  }
  json stages = json::array();
  for (const CLI::ConfigItem& item : items) {
    if (item.name == "--") continue; // the end of a section
    if (item.parents != std::vector<std::string>{"stage"})
      place.fail(fmt::format("'{}' stands outside of [[stage]]", item.parents.empty() ? item.name : item.parents.front()));
    if (item.name == "++") {
      stages.push_back(json::object());
      place.stage = stages.size();
    } else {
      read_key(item, place, stages.back());
    }
  }
  place.stage = 0;
  if (stages.empty()) place.fail("no [[stage]] in it");
  for (json& each : stages) {
    if (!each.contains("epochs")) each["epochs"] = config.get<std::int64_t>("epochs");
    if (!each.contains("lr")) each["lr"] = config.get<double>("lr");
  }
  return stages;
}

json read_stages(const Config& config) {
  const auto path = config.get<std::string>("stages");
  if (path.empty()) return json::array();
  const auto epochs = config.get<std::int64_t>("epochs");
  const auto lr = config.get<double>("lr");
  if (path == "gentle") return gentle(epochs, lr);
  if (path == "aggressive") return aggressive(epochs, lr);
  std::ifstream file(path);
  if (!file) Place{path}.fail("cannot be read; a TOML file, gentle or aggressive is expected");
  std::ostringstream text;
  text << file.rdbuf();
  return parse_stages(text.str(), path, config);
}

} // namespace mgpu::agent::cli
