// Item lists and tables: the first byte says which kind.
#include "agent/manifest/manifest.hpp"
#include "fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mgpu;
  using namespace mgpu::agent;
  if (size == 0) return 0;
  constexpr const char* names[] = {"list.csv", "list.jsonl", "list.txt"};
  const fuzz::File file(names[data[0] % 3], fuzz::text_of(data + 1, size - 1));
  fuzz::must_not_fall([&] {
    const auto manifest = manifest::Manifest::read(file.path());
    for (std::uint64_t row = 0; row < manifest.size(); ++row) {
      if (manifest.path(row).data() == nullptr) std::abort();
      for (std::size_t column = 0; column < manifest.column_names().size(); ++column) (void)manifest.value(column, row).size();
    }
    if (!manifest.costs().empty() && manifest.costs().size() != manifest.size()) std::abort();
  });
  return 0;
}
