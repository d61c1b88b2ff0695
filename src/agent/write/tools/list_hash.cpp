#include "agent/write/tools/list_hash.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "agent/manifest/text.hpp"
#include "common/wire/row_crc.hpp"

namespace mgpu::agent::write {

ListHash::ListHash(std::vector<std::string> columns) : columns_(std::move(columns)) {
  std::sort(columns_.begin(), columns_.end());
  for (const std::string& column : columns_) hash_.add(column);
}

void ListHash::add(const ListRows& rows) {
  for (std::size_t row = 0; row < rows[0].size(); ++row)
    for (const std::vector<std::string>& texts : rows) {
      hash_.add(texts[row]);
      replaced_nul_ |= texts[row].find(wire::nul_replacement) != std::string::npos;
    }
}

ListReader::ListReader(const ReadFile& file, const std::vector<std::string>& columns) {
  const auto take = [&](std::optional<TextReader> reader, std::string_view name) {
    if (!reader) throw Error(fmt::format("{}: it has no {}", manifest::shown(file.path()), manifest::shown(name)));
    readers_.push_back(std::move(*reader));
  };
  take(file.item_text("path"), "/items/path");
  for (const std::string& column : columns) take(file.manifest_text(column), column);
}

ListRows ListReader::read(std::uint64_t first, std::uint64_t count) const {
  ListRows rows;
  for (const TextReader& reader : readers_) rows.push_back(reader.read(first, count));
  return rows;
}

} // namespace mgpu::agent::write
