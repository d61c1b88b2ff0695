// Recordings of any kind, through FFmpeg's libraries as we call them.
#include "fuzz/fuzz.hpp"
#include "mgpu/load.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mgpu;
  LoadLimits limits;
  limits.audio_seconds = 20;
  AudioSpec spec;
  spec.sample_rate = 16000;
  static const AudioLoader loader(spec, limits);
  Item item;
  item.path = "fuzz.bin";
  item.shipped = true;
  item.content = fuzz::text_of(data, size);
  fuzz::must_not_fall([&] {
    std::int64_t length = 0;
    const std::vector<float> samples = loader.load(item, length);
    if (length <= 0 || samples.size() != static_cast<std::size_t>(length)) std::abort();
  });
  return 0;
}
