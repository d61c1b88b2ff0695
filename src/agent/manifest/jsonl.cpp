#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "agent/manifest/sources.hpp"

namespace mgpu::agent::manifest {

namespace {

// JSON text is Unicode, file names are bytes. Bytes that are not UTF-8 pass through the parser as this character and two hex
// digits. So does the character itself, so that the encoding is unambiguous.
constexpr char escape_mark = '\x01';

unsigned hex_value(std::string_view digits) {
  unsigned value = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return failure == std::errc() && end == digits.data() + digits.size() ? value : 0xFFFFFFFFu;
}

/// Value of the \uXXXX at `at`; larger than 0xFFFF if there is none.
unsigned unicode_escape(std::string_view line, std::size_t at) {
  return at + 6 <= line.size() && line[at] == '\\' && line[at + 1] == 'u' ? hex_value(line.substr(at + 2, 4)) : 0xFFFFFFFFu;
}

bool is_plain(std::string_view line) {
  for (std::size_t at = 0; at < line.size(); ++at) {
    if (static_cast<unsigned char>(line[at]) >= 0x80) return false;
    if (line[at] == '\\' && at + 1 < line.size() && line[at + 1] == 'u') return false;
  }
  return true;
}

/// `line` with marks in place of the bytes that the parser would reject.
void mark(std::string_view line, std::string& out) {
  out.clear();
  const auto put_marked = [&](unsigned byte) { out += fmt::format("\\u0001{:02x}", byte); };
  for (std::size_t at = 0; at < line.size();) {
    if (line[at] == '\\') {
      const unsigned value = unicode_escape(line, at), next = unicode_escape(line, at + 6);
      if (value >= 0xD800 && value <= 0xDBFF && next >= 0xDC00 && next <= 0xDFFF) { // a surrogate pair
        out += line.substr(at, 12);
        at += 12;
      } else if (value == 1 || (value >= 0xDC80 && value <= 0xDCFF)) {
        put_marked(value & 0xFF);
        at += 6;
      } else {
        out += line.substr(at, 2);
        at += 2;
      }
      continue;
    }
    const std::size_t length = utf8_length(line, at);
    if (length == 0) put_marked(static_cast<unsigned char>(line[at]));
    out += line.substr(at, length);
    at += std::max<std::size_t>(length, 1);
  }
}

void unmark(std::string& text) {
  std::size_t out = 0;
  for (std::size_t at = 0; at < text.size(); ++out) {
    if (text[at] == escape_mark) {
      text[out] = static_cast<char>(hex_value(std::string_view(text).substr(at + 1, 2)));
      at += 3;
    } else {
      text[out] = text[at++];
    }
  }
  text.resize(out);
}

/// As unmark(), for JSON text, where a byte that is not UTF-8 is written as in Python (\udcXX).
std::string unmark_json(std::string text) {
  constexpr std::string_view written_mark = "\\u0001";
  for (std::size_t at = 0; (at = text.find(written_mark, at)) != std::string::npos; at += written_mark.size()) {
    const unsigned byte = hex_value(std::string_view(text).substr(at + written_mark.size(), 2));
    text.replace(at, written_mark.size() + 2, byte < 0x80 ? std::string(written_mark) : fmt::format("\\udc{:02x}", byte));
  }
  return text;
}

using Fields = std::vector<std::pair<std::string, std::string>>;

/// Collects the fields of a flat object; stops at a nested value, for which the slower parser below is used.
class FlatObject : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit FlatObject(Fields& fields) : fields_(fields) {}
  bool is_flat() const { return flat_; }
  const std::string& problem() const { return problem_; }

  bool null() override { return value(""); }
  bool boolean(bool truth) override { return value(truth ? "true" : "false"); }
  bool number_integer(number_integer_t number) override { return value(std::to_string(number)); }
  bool number_unsigned(number_unsigned_t number) override { return value(std::to_string(number)); }
  bool number_float(number_float_t, const string_t& text) override { return value(text); }
  bool string(string_t& text) override { return value(std::move(text)); }
  bool binary(binary_t&) override { return false; }
  bool key(string_t& name) override {
    fields_.emplace_back(std::move(name), "");
    return true;
  }
  bool start_object(std::size_t) override {
    flat_ = !inside_;
    inside_ = true;
    return flat_;
  }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override {
    if (!inside_) return value("");
    return flat_ = false;
  }
  bool end_array() override { return true; }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    problem_ = fmt::format("not JSON from byte {} on", position);
    return false;
  }

 private:
  bool value(std::string text) {
    if (!inside_) {
      problem_ = "not a JSON object; every line is one, like {\"path\": \"a.png\"}";
      return false;
    }
    fields_.back().second = std::move(text);
    return true;
  }
  Fields& fields_;
  bool inside_ = false, flat_ = true;
  std::string problem_;
};

/// Maximum nesting of a value: the library serialises by recursion, and a malicious line could exhaust the stack.
constexpr int deepest = 64;

bool too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string && c == '\\')
      ++at;
    else if (c == '"')
      in_string = !in_string;
    else if (!in_string && (c == '[' || c == '{') && ++depth > deepest)
      return true;
    else if (!in_string && (c == ']' || c == '}'))
      --depth;
  }
  return false;
}

/// Reads the fields of the object in `text`; returns the error, "" if there is none.
std::string parse_fields(std::string_view text, Fields& fields) {
  fields.clear();
  FlatObject flat(fields);
  if (nlohmann::json::sax_parse(text, &flat)) return {};
  if (flat.is_flat()) return flat.problem();
  if (too_deep(text)) return fmt::format("nested more than {} levels deep", deepest);
  const auto object = nlohmann::ordered_json::parse(text, nullptr, false);
  if (object.is_discarded()) return "not JSON";
  fields.clear();
  for (const auto& [key, value] : object.items())
    fields.emplace_back(key, value.is_string() ? value.get<std::string>()
                             : value.is_null() ? std::string()
                                               : unmark_json(value.dump()));
  return {};
}

} // namespace

void read_jsonl(LineReader& lines, const std::string& folder, Builder& builder) {
  builder.set_base(folder);
  std::string_view line;
  std::string marked;
  Fields fields;
  std::vector<std::string_view> values;
  while (lines.next(line)) {
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    const auto malformed = [&](std::string_view what) {
      return usage_error(fmt::format("input {}: line {}: {}", lines.name(), lines.line_number(), what));
    };
    const bool plain = is_plain(line);
    if (!plain) {
      mark(line, marked);
      line = marked;
    }
    if (const std::string problem = parse_fields(line, fields); !problem.empty()) throw malformed(problem);

    values.clear();
    const std::string* path = nullptr;
    for (auto& [name, value] : fields) {
      if (!plain) {
        unmark(name);
        unmark(value);
      }
      if (name == "path") {
        path = &value;
        continue;
      }
      if (name.empty()) continue;
      const std::size_t column = builder.column(name);
      if (column >= values.size()) values.resize(column + 1);
      values[column] = value;
    }
    if (path == nullptr) throw malformed("no \"path\" in this object");
    builder.add(*path, values, lines.line_number());
  }
}

} // namespace mgpu::agent::manifest
