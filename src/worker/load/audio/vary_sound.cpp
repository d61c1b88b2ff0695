#include <algorithm>
#include <cmath>

#include "common/support/random.hpp"
#include "worker/load/augment.hpp"

namespace mgpu::worker::load {

namespace {

constexpr int masks = 2;
constexpr double decibels_a_unit = 40; // of Whisper's features: log10 of power, divided by 4

// Every kind has its own random sequence, so that switching one on or off does not change the others.
enum Kind : std::uint64_t { kind_time = 4, kind_frequency = 5, kind_gain = 6 };

/// Calls change(begin, end) for each mask over `length` positions.
template <typename Change>
void draw_masks(std::uint64_t seed, double share, std::int64_t length, const Change& change) {
  Random random(seed);
  const auto most = static_cast<std::int64_t>(std::min(share, 1.0) * static_cast<double>(length));
  for (int i = 0; i < masks; ++i) {
    const auto width = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(most) + 1));
    const auto begin = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(length - width) + 1));
    change(begin, begin + width);
  }
}

double draw_decibels(std::uint64_t seed, double most) {
  return Random(seed_of(seed, kind_gain)).uniform(-most, most);
}

} // namespace

void vary_log_mel(const Augmentation& augmentation, double strength, std::uint64_t seed, int mels, std::int64_t frames,
                  float* features) {
  const std::int64_t count = mels * frames;
  if (augmentation.gain > 0) {
    const auto shift = static_cast<float>(draw_decibels(seed, augmentation.gain * strength) / decibels_a_unit);
    for (std::int64_t i = 0; i < count; ++i) features[i] += shift;
  }
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(features[i]);
  const auto mean = static_cast<float>(sum / static_cast<double>(std::max<std::int64_t>(count, 1)));
  if (augmentation.frequency_mask > 0)
    draw_masks(
        seed_of(seed, kind_frequency), augmentation.frequency_mask * strength, mels,
        [&](std::int64_t begin, std::int64_t end) { std::fill(features + begin * frames, features + end * frames, mean); });
  if (augmentation.time_mask > 0)
    draw_masks(seed_of(seed, kind_time), augmentation.time_mask * strength, frames, [&](std::int64_t begin, std::int64_t end) {
      for (int mel = 0; mel < mels; ++mel) std::fill(features + mel * frames + begin, features + mel * frames + end, mean);
    });
}

void vary_waveform(const Augmentation& augmentation, double strength, std::uint64_t seed, int channels, std::int64_t samples,
                   float* waveform) {
  if (augmentation.gain > 0) {
    const auto factor = static_cast<float>(std::pow(10, draw_decibels(seed, augmentation.gain * strength) / 20));
    for (std::int64_t i = 0; i < channels * samples; ++i) waveform[i] *= factor;
  }
  if (augmentation.time_mask > 0)
    draw_masks(seed_of(seed, kind_time), augmentation.time_mask * strength, samples, [&](std::int64_t begin, std::int64_t end) {
      for (int channel = 0; channel < channels; ++channel)
        std::fill(waveform + channel * samples + begin, waveform + channel * samples + end, 0.0f);
    });
}

} // namespace mgpu::worker::load
