#include <algorithm>
#include <cmath>

#include "common/support/random.hpp"
#include "worker/load/augment.hpp"

namespace mgpu::worker::load {

namespace {

constexpr double narrowest = 3.0 / 4.0, widest = 4.0 / 3.0; // width : height
constexpr double least_area = 0.01;                         // for any strength

// Every kind has its own random sequence, so that switching one on or off does not change the others.
enum Kind : std::uint64_t { kind_crop = 1, kind_flip = 2, kind_colour = 3 };

void draw_crop(Random random, double least, PictureChange& change, int height, int width) {
  const double area = static_cast<double>(height) * width;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double wanted = area * random.uniform(least, 1);
    const double ratio = std::exp(random.uniform(std::log(narrowest), std::log(widest)));
    const auto w = static_cast<int>(std::lround(std::sqrt(wanted * ratio)));
    const auto h = static_cast<int>(std::lround(std::sqrt(wanted / ratio)));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    change.top = static_cast<int>(random.below(static_cast<std::uint64_t>(height - h) + 1));
    change.left = static_cast<int>(random.below(static_cast<std::uint64_t>(width - w) + 1));
    change.height = h;
    change.width = w;
    return;
  }
  // No shape fits: the largest centred part with a permitted ratio.
  const double ratio = static_cast<double>(width) / height;
  change.height = ratio < narrowest ? std::max(1, static_cast<int>(std::lround(width / narrowest))) : height;
  change.width = ratio > widest ? std::max(1, static_cast<int>(std::lround(height * widest))) : width;
  change.top = (height - change.height) / 2;
  change.left = (width - change.width) / 2;
}

} // namespace

PictureChange draw_change(const Augmentation& augmentation, double strength, std::uint64_t seed, int height, int width) {
  PictureChange change;
  change.height = height;
  change.width = width;
  if (augmentation.crop > 0 && strength > 0) {
    const double least = std::clamp(1 - (1 - augmentation.crop) * strength, least_area, 1.0);
    draw_crop(Random(seed_of(seed, kind_crop)), least, change, height, width);
  }
  change.flip = Random(seed_of(seed, kind_flip)).uniform() < augmentation.flip * strength;
  if (augmentation.colour > 0 && strength > 0) {
    Random random(seed_of(seed, kind_colour));
    const double amount = augmentation.colour * strength;
    change.colours = true;
    for (double& factor : change.factor) factor = random.uniform(std::max(0.0, 1 - amount), 1 + amount);
    for (std::size_t i = change.order.size(); i > 1; --i) std::swap(change.order[i - 1], change.order[random.below(i)]);
  }
  return change;
}

} // namespace mgpu::worker::load
