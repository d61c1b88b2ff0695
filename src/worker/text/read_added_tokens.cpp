#include "worker/text/read_added_tokens.hpp"

#include <string>
#include <unordered_set>
#include <utility>

#include "common/support/text.hpp"
#include "worker/text/nfc.hpp"

namespace mgpu::worker::text {

namespace {

AddedToken read_token(const JsonReader& json) {
  json.allow({"id", "content", "special", "normalized", "lstrip", "rstrip", "single_word"});
  AddedToken token;
  for (const char* key : {"id", "content", "special", "normalized", "lstrip", "rstrip", "single_word"})
    if (!json.has(key)) json.fail(key, "is missing");
  token.id = read_id(json, "id", json.at("id"));
  json.read("content", token.content);
  json.read("special", token.special);
  json.read("normalized", token.normalized);
  json.read("lstrip", token.lstrip);
  json.read("rstrip", token.rstrip);
  json.read("single_word", token.single_word);
  if (token.content.empty()) json.fail("content", "is empty");
  return token;
}

/// As in `tokenizers`, a special token whose normal form is another text is none for decode, unless that text is one.
void normalise(const JsonReader& file, std::vector<AddedToken>& tokens) {
  std::unordered_set<std::string> special, forms;
  for (const AddedToken& token : tokens)
    if (token.special) special.insert(token.content);
  std::string buffer;
  for (AddedToken& token : tokens) {
    if (!token.normalized) continue;
    std::string form(nfc(token.content, CharacterTable::get(), buffer));
    if (!forms.insert(form).second)
      file.fail("added_tokens", fmt::format("two tokens have the normal form \"{}\"", printable(form)));
    token.special = special.contains(form);
    token.content = std::move(form);
  }
}

} // namespace

std::vector<AddedToken> read_added_tokens(const JsonReader& file, const Vocabulary& vocabulary, bool to_nfc) {
  std::vector<AddedToken> tokens;
  if (!file.has("added_tokens")) return tokens;
  const nlohmann::json& list = file.at("added_tokens");
  if (!list.is_array()) file.fail("added_tokens", "a list is expected");
  std::unordered_set<std::string> contents;
  std::unordered_set<std::uint32_t> ids;
  for (const auto& [spelling, id] : vocabulary) ids.insert(id);
  std::int64_t next = static_cast<std::int64_t>(vocabulary.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string key = fmt::format("added_tokens[{}]", i);
    const JsonReader json(list[i], file.inner(key));
    AddedToken token = read_token(json);
    if (!contents.insert(token.content).second)
      json.fail("content", fmt::format("\"{}\" is added twice", printable(token.content)));
    const auto known = vocabulary.find(token.content);
    const std::int64_t id = known != vocabulary.end() ? known->second : next++;
    if (token.id != id)
      json.fail("id", fmt::format("{} is not the id of \"{}\" in the vocabulary, or the next free one: {}", token.id,
                                  printable(token.content), id));
    if (known == vocabulary.end() && !ids.insert(static_cast<std::uint32_t>(id)).second)
      json.fail("id", fmt::format("{} belongs to another token", id));
    tokens.push_back(std::move(token));
  }
  if (to_nfc) normalise(file, tokens);
  return tokens;
}

} // namespace mgpu::worker::text
