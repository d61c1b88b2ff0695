#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "mgpu/error.hpp"

namespace mgpu {

/// One option a job adds to the command line: `--name VALUE`, `MGPU_NAME`, or `name = …` in the config file.
struct OptionSpec {
  std::string name;                      ///< as typed, without dashes: "label-column"
  nlohmann::json default_value;          ///< also fixes the type: bool, int64, double, string, or array of these
  std::string help;                      ///< one line, with the unit
  std::string placeholder = "";          ///< what help shows for the value: "K", "SECONDS"
  std::vector<std::string> choices = {}; ///< the only values allowed; empty: any
};

/// The resolved options of a run (flag > environment > file > default): what the user asked for, by option name.
class Config {
 public:
  Config() : values_(nlohmann::json::object()) {}
  explicit Config(nlohmann::json values) : values_(std::move(values)) {}

  /// Value of option `name`; throws Error if no such option was declared or the type does not fit.
  template <typename T>
  T get(std::string_view name) const {
    const auto found = values_.find(name);
    if (found == values_.end()) throw Error("no option --" + std::string(name) + " was declared by this job");
    try {
      return found->get<T>();
    } catch (const nlohmann::json::exception&) {
      throw Error("option --" + std::string(name) + " is read with another type than it was declared with");
    }
  }

  bool has(std::string_view name) const { return values_.contains(name); }
  void set(const std::string& name, nlohmann::json value) { values_[name] = std::move(value); }
  const nlohmann::json& json() const { return values_; }

 private:
  nlohmann::json values_;
};

} // namespace mgpu
