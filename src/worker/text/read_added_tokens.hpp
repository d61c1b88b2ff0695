#pragma once
#include <vector>

#include "common/bundle/json_reader.hpp"
#include "worker/text/added_tokens.hpp"
#include "worker/text/read_model.hpp"

namespace mgpu::worker::text {

/// Reads "added_tokens" of `file`. A token of the vocabulary has its id there, any other the next free one; a file that says
/// otherwise is refused (`tokenizers` warns, and uses its own id). `to_nfc`: the tokens that are searched after normalisation are
/// normalised, too.
std::vector<AddedToken> read_added_tokens(const JsonReader& file, const Vocabulary& vocabulary, bool to_nfc);

} // namespace mgpu::worker::text
