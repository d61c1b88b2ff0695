#pragma once
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/bundle/json_reader.hpp"
#include "worker/text/bpe.hpp"

namespace mgpu::worker::text {

/// Ids of the model's tokens by their spelling. The spellings are those of the JSON document.
using Vocabulary = std::unordered_map<std::string_view, std::uint32_t>;

struct Model {
  Vocabulary vocabulary;
  BpeSpec bpe;
};

/// Reads "model": byte-level BPE without dropout, prefixes, suffixes and byte fallback.
Model read_model(const JsonReader& model);

/// A token id, 0 to 9,999,999: memory grows with the largest one. `key` names it in the error.
std::uint32_t read_id(const JsonReader& json, std::string_view key, const nlohmann::json& value);

} // namespace mgpu::worker::text
