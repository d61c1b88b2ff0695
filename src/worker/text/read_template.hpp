#pragma once
#include "common/bundle/json_reader.hpp"
#include "worker/text/tokenizer_spec.hpp"

namespace mgpu::worker::text {

/// Reads a TemplateProcessing: the special tokens before and after a single text. The template for pairs of texts is not used.
/// spec.model and spec.added_tokens are set.
void read_template(const JsonReader& step, TokenizerSpec& spec);

} // namespace mgpu::worker::text
