#include "worker/text/read_template.hpp"

#include <algorithm>

#include "common/support/text.hpp"
#include "worker/text/read_model.hpp"

namespace mgpu::worker::text {

namespace {

using nlohmann::json;

bool is_known(const TokenizerSpec& spec, std::uint32_t id) {
  return (id < spec.model.bytes.size() && !spec.model.bytes[id].empty()) ||
         std::any_of(spec.added_tokens.begin(), spec.added_tokens.end(), [&](const AddedToken& token) { return token.id == id; });
}

/// The ids of an entry of "special_tokens".
std::vector<std::int64_t> ids_of(const JsonReader& step, const std::string& name, const TokenizerSpec& spec) {
  if (!step.has("special_tokens")) step.fail("special_tokens", "is missing");
  const JsonReader tokens(step.at("special_tokens"), step.inner("special_tokens"));
  if (!tokens.has(name)) tokens.fail(printable(name), "is missing, but single has it");
  const JsonReader token(tokens.at(name), tokens.inner(printable(name)));
  if (!token.has("ids") || !token.at("ids").is_array()) token.fail("ids", "a list of token ids is expected");
  std::vector<std::int64_t> ids;
  for (const json& each : token.at("ids")) {
    const std::uint32_t id = read_id(token, "ids", each);
    if (!is_known(spec, id)) token.fail("ids", fmt::format("{} is the id of no token", id));
    ids.push_back(id);
  }
  return ids;
}

} // namespace

void read_template(const JsonReader& step, TokenizerSpec& spec) {
  step.allow({"type", "single", "pair", "special_tokens"});
  if (!step.has("single") || !step.at("single").is_array()) step.fail("single", "a list is expected");
  const json& pieces = step.at("single");
  bool after_text = false;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const JsonReader piece(pieces[i], step.inner(fmt::format("single[{}]", i)));
    const bool is_text = piece.has("Sequence");
    const char* kind = is_text ? "Sequence" : "SpecialToken";
    if (!piece.has(kind)) piece.fail("SpecialToken", "it or a Sequence is expected");
    const JsonReader content(piece.at(kind), piece.inner(kind));
    std::string id;
    content.read("id", id);
    if (is_text) {
      if (id != "A" || after_text) content.fail("id", "the text A is expected, once");
      after_text = true;
      continue;
    }
    const std::vector<std::int64_t> ids = ids_of(step, id, spec);
    std::vector<std::int64_t>& side = after_text ? spec.suffix : spec.prefix;
    side.insert(side.end(), ids.begin(), ids.end());
  }
  if (!after_text) step.fail("single", "it has no text: {\"Sequence\": {\"id\": \"A\", …}} is expected");
}

} // namespace mgpu::worker::text
