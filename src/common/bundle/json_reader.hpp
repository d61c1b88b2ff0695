#pragma once
// Strict reading of an object in a JSON file: a typo must become an error with file and key, never a default.
#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "mgpu/error.hpp"

namespace mgpu {

class JsonReader {
 public:
  /// `where` is the file and, for an inner object, its key with a dot: "digits/bundle.json: image.".
  JsonReader(const nlohmann::json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object_.is_object()) throw usage_error(where_ + " an object { … } is expected");
  }

  /// Throws on a key that is not in `known` and does not begin with "x-".
  void allow(std::initializer_list<std::string_view> known) const {
    for (const auto& [key, value] : object_.items())
      if (!key.starts_with("x-") && std::find(known.begin(), known.end(), key) == known.end())
        throw usage_error(where_ + key + " is not a known key (keys of your own begin with x-)");
  }

  bool has(std::string_view key) const {
    const auto found = object_.find(key);
    return found != object_.end() && !found->is_null();
  }
  const nlohmann::json& at(std::string_view key) const { return *object_.find(key); }

  /// Reads `key` into `value` if the object has it.
  void read(std::string_view key, int& value, int least, int most) const {
    if (!has(key)) return;
    const auto& json = at(key);
    if (!json.is_number_integer() || json.get<double>() < least || json.get<double>() > most)
      fail(key, fmt::format("a whole number from {} to {} is expected", least, most));
    value = json.get<int>();
  }
  void read(std::string_view key, double& value) const {
    if (!has(key)) return;
    if (!at(key).is_number()) fail(key, "a number is expected");
    value = at(key).get<double>();
  }
  void read(std::string_view key, bool& value) const {
    if (!has(key)) return;
    if (!at(key).is_boolean()) fail(key, "true or false is expected");
    value = at(key).get<bool>();
  }
  void read(std::string_view key, std::string& value) const {
    if (!has(key)) return;
    if (!at(key).is_string()) fail(key, "a text is expected");
    value = at(key).get<std::string>();
  }
  void read(std::string_view key, std::vector<double>& values) const {
    if (!has(key)) return;
    const auto& json = at(key);
    if (json.is_number()) {
      values = {json.get<double>()};
      return;
    }
    if (!json.is_array() || !std::all_of(json.begin(), json.end(), [](const auto& each) { return each.is_number(); }))
      fail(key, "a list of numbers is expected");
    values = json.get<std::vector<double>>();
  }
  void read(std::string_view key, std::vector<std::string>& values) const {
    if (!has(key)) return;
    const auto& json = at(key);
    if (!json.is_array() || !std::all_of(json.begin(), json.end(), [](const auto& each) { return each.is_string(); }))
      fail(key, "a list of texts is expected");
    values = json.get<std::vector<std::string>>();
  }

  [[noreturn]] void fail(std::string_view key, std::string_view what) const {
    throw usage_error(fmt::format("{}{}: {}", where_, key, what));
  }
  std::string inner(std::string_view key) const { return fmt::format("{}{}.", where_, key); }

 private:
  const nlohmann::json& object_;
  std::string where_;
};

} // namespace mgpu
