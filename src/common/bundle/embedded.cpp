#include "common/bundle/embedded.hpp"

#include <zip.h>

#include <memory>
#include <string_view>

namespace mgpu {

std::optional<std::string> embedded_bundle(const std::string& path) {
  constexpr std::string_view wanted = "/extra/bundle.json"; // after the archive's own name
  constexpr zip_uint64_t most_bytes = 64u << 20;
  int problem = 0;
  const std::unique_ptr<zip_t, void (*)(zip_t*)> archive(zip_open(path.c_str(), ZIP_RDONLY, &problem), &zip_discard);
  if (!archive) return std::nullopt;
  const zip_int64_t entries = zip_get_num_entries(archive.get(), 0);
  for (zip_int64_t index = 0; index < entries; ++index) {
    zip_stat_t facts;
    if (zip_stat_index(archive.get(), static_cast<zip_uint64_t>(index), 0, &facts) != 0) continue;
    if (facts.name == nullptr || !std::string_view(facts.name).ends_with(wanted) || facts.size > most_bytes) continue;
    const std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> file(
        zip_fopen_index(archive.get(), static_cast<zip_uint64_t>(index), 0), &zip_fclose);
    if (!file) return std::nullopt;
    std::string text(facts.size, '\0');
    if (zip_fread(file.get(), text.data(), text.size()) != static_cast<zip_int64_t>(text.size())) return std::nullopt;
    return text;
  }
  return std::nullopt;
}

} // namespace mgpu
