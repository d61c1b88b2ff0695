#include "agent/cli/options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>

#include "common/support/edit_distance.hpp"

namespace mgpu::agent::cli {

namespace {

using nlohmann::json;

std::string environment_name(const std::string& option) {
  std::string name = "MGPU_";
  for (const char letter : option)
    name += letter == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  return name;
}

std::string show(const json& value) {
  if (value.is_number_float()) return fmt::format("{}", value.get<double>()); // 200000000, not 200000000.0
  return value.is_string() ? value.get<std::string>() : value.dump();
}

/// The choices without the empty one, which stands for the bundle's choice.
std::vector<std::string> named_choices(const OptionSpec& option) {
  std::vector<std::string> named = option.choices;
  std::erase(named, "");
  return named;
}

/// `text` as the type of the option's default.
json convert(const OptionSpec& option, const std::string& text, const std::string& source) {
  const auto wrong = [&](std::string_view wanted) {
    return usage_error(fmt::format("--{} {}: {} ({})", option.name, text.empty() ? "''" : text, wanted, source));
  };
  if (!option.choices.empty() && std::find(option.choices.begin(), option.choices.end(), text) == option.choices.end())
    throw wrong(fmt::format("choose from {}", fmt::join(named_choices(option), ", ")));
  if (option.default_value.is_boolean()) {
    if (text == "true" || text == "1" || text == "yes" || text == "on") return true;
    if (text == "false" || text == "0" || text == "no" || text == "off") return false;
    throw wrong("true or false");
  }
  if (option.default_value.is_string()) return text;
  const json number = json::parse(text, nullptr, false);
  if (option.default_value.is_number_integer()) {
    if (!number.is_number_integer() || number.get<std::int64_t>() < 0) throw wrong("a whole number, 0 or more");
    return number;
  }
  if (!number.is_number() || number.get<double>() < 0) throw wrong("a number, 0 or more");
  return number.get<double>();
}

/// A suggestion for a misspelled name; "" when no option is close.
std::string nearest(const std::vector<OptionSpec>& options, const std::string& name) {
  const auto best = std::min_element(options.begin(), options.end(), [&](const OptionSpec& a, const OptionSpec& b) {
    return edit_distance(a.name, name) < edit_distance(b.name, name);
  });
  return best != options.end() && edit_distance(best->name, name) <= 3 ? fmt::format("; did you mean --{}?", best->name) : "";
}

/// `--a_b` is `--a-b`; values are left alone.
std::vector<std::string> normalise(std::vector<std::string> arguments) {
  for (std::string& argument : arguments) {
    if (!argument.starts_with("--")) continue;
    const auto end = argument.begin() + static_cast<std::ptrdiff_t>(std::min(argument.find('='), argument.size()));
    std::replace(argument.begin(), end, '_', '-');
  }
  return arguments;
}

/// Values of a TOML file by option name.
std::map<std::string, std::string> read_config(const std::string& path, const std::vector<OptionSpec>& options) {
  std::map<std::string, std::string> values;
  if (path.empty()) return values;
  std::ifstream file(path);
  if (!file) throw usage_error(fmt::format("--config {}: cannot be read", path));
  std::vector<CLI::ConfigItem> items;
  try {
    items = CLI::ConfigTOML().from_config(file);
  } catch (const CLI::Error& error) {
    throw usage_error(fmt::format("--config {}: {}", path, error.what()));
  }
  for (const CLI::ConfigItem& item : items) {
    if (item.name == "++" || item.name == "--") continue; // section marks
    std::string name = item.name;
    std::replace(name.begin(), name.end(), '_', '-');
    const bool known = std::any_of(options.begin(), options.end(), [&](const OptionSpec& option) { return option.name == name; });
    if (!known) throw usage_error(fmt::format("--config {}: there is no option '{}'{}", path, name, nearest(options, name)));
    values[name] = fmt::format("{}", fmt::join(item.inputs, ","));
  }
  return values;
}

struct Typed {
  std::map<std::string, std::string> values; ///< by option name
};

Typed parse_flags(const std::string& program, const std::string& job_name, const Job& job, const std::vector<OptionSpec>& options,
                  const std::vector<std::string>& arguments) {
  CLI::App app(job.summary(), fmt::format("{} {}", program, job_name));
  app.footer(fmt::format(
      "Examples:\n{}\n\nEvery option can also be set by the environment (MGPU_BATCH_SIZE=32) or a TOML file (--config); "
      "flag > environment > file > default.",
      job.examples()));
  app.get_formatter()->column_width(34);
  std::map<std::string, std::string> texts;
  std::map<std::string, bool> switches;
  const std::size_t common = common_options().size();
  for (std::size_t at = 0; at < options.size(); ++at) {
    const OptionSpec& option = options[at];
    CLI::Option* added = nullptr;
    const std::string shown = show(option.default_value);
    if (option.default_value.is_boolean()) {
      added = app.add_flag("--" + option.name, switches[option.name], option.help);
    } else {
      added = app.add_option("--" + option.name, texts[option.name], option.help + (shown.empty() ? "" : " [" + shown + "]"));
      added->type_name(option.choices.empty() ? option.placeholder : fmt::format("{}", fmt::join(named_choices(option), "|")));
      added->allow_extra_args(false)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
    added->group(at < common ? "Options of every job" : fmt::format("Options of {}", job_name));
  }
  std::vector<std::string> reversed = normalise(arguments);
  std::reverse(reversed.begin(), reversed.end()); // the order that CLI11 expects
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    throw HelpWanted{app.help()};
  } catch (const CLI::ExtrasError&) {
    const std::vector<std::string> extras = app.remaining();
    const std::string first = extras.empty() ? "" : extras.front();
    if (!first.starts_with("-")) throw usage_error(fmt::format("{} does not take '{}'; options begin with --", job_name, first));
    const std::string name = first.substr(std::min(first.find_first_not_of('-'), first.size()));
    throw usage_error(
        fmt::format("there is no option {}{} (see {} {} --help)", first, nearest(options, name), program, job_name));
  } catch (const CLI::Error& error) {
    throw usage_error(fmt::format("{} (see {} {} --help)", error.what(), program, job_name));
  }
  Typed typed;
  for (const OptionSpec& option : options) {
    if (app.get_option("--" + option.name)->count() == 0) continue;
    typed.values[option.name] =
        option.default_value.is_boolean() ? (switches[option.name] ? "true" : "false") : texts[option.name];
  }
  return typed;
}

} // namespace

Resolved resolve(const std::string& program, const std::string& job_name, const Job& job,
                 const std::vector<std::string>& arguments) {
  std::vector<OptionSpec> options = common_options();
  for (const OptionSpec& option : job.options()) options.push_back(option);
  const Typed typed = parse_flags(program, job_name, job, options, arguments);

  const auto from_environment = [](const std::string& name) { return std::getenv(environment_name(name).c_str()); };
  std::string config_path;
  if (const auto flag = typed.values.find("config"); flag != typed.values.end())
    config_path = flag->second;
  else if (const char* named = from_environment("config"); named != nullptr)
    config_path = named;
  const std::map<std::string, std::string> file = read_config(config_path, options);

  Resolved resolved;
  const std::size_t common = common_options().size();
  for (std::size_t at = 0; at < options.size(); ++at) {
    const OptionSpec& option = options[at];
    json value = option.default_value;
    std::string source = "default";
    if (const auto flag = typed.values.find(option.name); flag != typed.values.end()) {
      source = "flag";
      value = convert(option, flag->second, source);
    } else if (const char* set = from_environment(option.name); set != nullptr) {
      source = "environment " + environment_name(option.name);
      value = convert(option, set, source);
    } else if (const auto line = file.find(option.name); line != file.end()) {
      source = "file " + config_path;
      value = convert(option, line->second, source);
    }
    resolved.origins.push_back({option.name, show(value), source, at >= common || changes_results(option.name)});
    resolved.config.set(option.name, std::move(value));
  }
  return resolved;
}

std::string describe(const Resolved& resolved) {
  std::string text = "Options:\n";
  std::string line = "  defaults:";
  std::string defaults;
  for (const Origin& origin : resolved.origins) {
    if (origin.source != "default") {
      text += fmt::format("  {:<16} {}  ({})\n", origin.name, origin.value, origin.source);
    } else if (!origin.value.empty()) {
      const std::string entry = fmt::format(" {}={}", origin.name, origin.value);
      if (line.size() + entry.size() > 120) {
        defaults += line + '\n';
        line = "           ";
      }
      line += entry;
    }
  }
  return text + defaults + line + '\n';
}

} // namespace mgpu::agent::cli
