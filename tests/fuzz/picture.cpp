// Pictures of any kind, through the loader that feeds the model and the one that keeps them whole.
#include <vector>

#include "fuzz/fuzz.hpp"
#include "mgpu/load.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mgpu;
  LoadLimits limits;
  limits.pixels = 1 << 20; // time is better spent on other bytes than on large pictures
  static const ImageLoader loader(
      [] {
        ImageSpec spec;
        spec.height = spec.width = 24;
        return spec;
      }(),
      PixelForm::float_chw, limits);
  static std::vector<std::byte> row(loader.row_bytes());
  Item item;
  item.path = "fuzz.bin";
  item.shipped = true;
  item.content = fuzz::text_of(data, size);
  fuzz::must_not_fall([&] { loader.load(item, row.data()); });
  fuzz::must_not_fall([&] {
    const Picture picture = decode_picture(item, 3, limits);
    if (picture.pixels.size() != static_cast<std::size_t>(picture.height) * static_cast<std::size_t>(picture.width) * 3)
      std::abort();
  });
  return 0;
}
