#pragma once
// Sources of items. Each function adds rows to a Builder and throws usage_error with the line number of malformed text.
#include <string>

#include "agent/manifest/builder.hpp"
#include "agent/manifest/text.hpp"

namespace mgpu::agent::manifest {

/// One path per line; empty lines are skipped. `folder`: of the list; "" for standard input. Relative paths are relative to the
/// list's folder if the first of them is found there, else to the working folder if it is found there.
void read_list(LineReader& lines, const std::string& folder, Builder& builder);

/// RFC 4180 with a header line; quoted fields may hold commas, quotes ("") and line ends. Fields without a name in the header
/// (an index column) are ignored.
void read_csv(LineReader& lines, const std::string& folder, Builder& builder);

/// One JSON object per line. Numbers and truth values become text, null "", nested values JSON text. Bytes that are not UTF-8 are
/// allowed, and \udcXX escapes (written by Python's json.dumps for a name from os.fsdecode) become bytes.
void read_jsonl(LineReader& lines, const std::string& folder, Builder& builder);

/// Every file below `folder`, sorted by the bytes of its path. Names that begin with a dot are skipped. Links are followed,
/// each folder is entered once. With a media filter, a folder named like a medium ("x.wav") is an item too (one that will fail),
/// so that nothing is skipped silently.
void read_folder(const std::string& folder, Media media, Builder& builder);

/// glob(3) with ~ and {a,b}, sorted by bytes.
void read_glob(const std::string& pattern, Media media, Builder& builder);

} // namespace mgpu::agent::manifest
