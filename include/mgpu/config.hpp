#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "mgpu/error.hpp"

namespace mgpu {

/// One option that a job adds to the command line: `--name VALUE`, `MGPU_NAME`, or `name = …` in the config file.
struct OptionSpec {
  std::string name;                      ///< as typed, without the leading dashes: "label-column"
  nlohmann::json default_value;          ///< also determines the type: bool, int64, double or string; numbers are 0 or more
  std::string help;                      ///< one line, with the unit
  std::string placeholder = "";          ///< name of the value in the help: "K", "SECONDS"
  std::vector<std::string> choices = {}; ///< the permitted values; empty: any
};

/// The resolved options of a run by name (flag > environment > file > default).
class Config {
 public:
  Config() : values_(nlohmann::json::object()) {}
  explicit Config(nlohmann::json values) : values_(std::move(values)) {}

  /// Value of option `name`. Throws Error if the option was not declared or has another type.
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
