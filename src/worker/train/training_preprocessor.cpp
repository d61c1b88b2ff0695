#include "mgpu/training_preprocessor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "mgpu/network.hpp"
#include "worker/device/torch.hpp"
#include "worker/load/augment.hpp"
#include "worker/train/sample_cache.hpp"

namespace mgpu {

using namespace worker;

namespace {

using train::Decoded;

int enlarged(int side) {
  return (side * 8 + 6) / 7;
}

/// The cached picture for random crops: larger by a margin, like 256 for 224.
ImageSpec enlarged(ImageSpec spec) {
  if (spec.resize == Resize::none) return spec; // these pictures have the model's size and no margin
  const int shorter = spec.resize_to > 0 ? spec.resize_to : std::min(spec.height, spec.width);
  spec.height = enlarged(spec.height);
  spec.width = enlarged(spec.width);
  spec.resize_to = std::max(shorter, std::min(spec.height, spec.width));
  return spec;
}

std::string text_option(const Config& config, const char* name, const char* otherwise) {
  return config.has(name) ? config.get<std::string>(name) : otherwise;
}

Augmentation augmentation_of(const Bundle& bundle, const Config& config) {
  const auto augmentation = Augmentation::read(text_option(config, "augment", ""), bundle.image.has_value());
  if (bundle.audio && bundle.audio->features == AudioFeatures::waveform && augmentation.frequency_mask > 0 &&
      text_option(config, "augment", "") != "auto")
    throw usage_error("--augment frequency_mask: the model takes waveforms; mel bands are there with log_mel features only");
  return augmentation;
}

/// For float rows the preprocessor, which determines their shape, must be one for a CPU.
RankContext rows_on(RankContext context, bool floats) {
  if (floats) context.device = torch::kCPU;
  return context;
}

} // namespace

struct TrainingPreprocessor::Impl {
  Impl(const Bundle& bundle, const RankContext& context)
      : augmentation(augmentation_of(bundle, context.config)),
        byte_rows(bundle.image && context.device.is_cuda() && !augmentation.any()),
        preprocessor(bundle, rows_on(context, !byte_rows)),
        cache(train::cache_limit(text_option(context.config, "cache", "auto"), context.local_size)) {
    if (context.config.has("augment-strength")) strength = context.config.get<double>("augment-strength");
    if (!(strength >= 0)) throw usage_error("--augment-strength: a number from 0 is expected");
    const LoadLimits limits = LoadLimits::of(context.config);
    if (bundle.image) {
      plain.emplace(*bundle.image, PixelForm::uint8_hwc, limits);
      for_crops.emplace(enlarged(*bundle.image), PixelForm::uint8_hwc, limits);
    } else {
      audio.emplace(*bundle.audio, limits);
    }
  }

  /// The item from the cache, else decoded by `decode` and offered to the cache. `kind`: one of several entries of a file.
  template <typename Decode>
  std::shared_ptr<const Decoded> fetch(const Item& item, char kind, const Decode& decode) {
    const std::string key = kind + item.path;
    if (auto kept = cache.find(key)) return kept;
    auto decoded = std::make_shared<Decoded>();
    decode(*decoded);
    cache.offer(key, decoded);
    return decoded;
  }

  void prepare_picture(const Item& item, double how_strong, std::uint64_t seed, Sample& sample) {
    const bool cropped = augmentation.crop > 0 && how_strong > 0;
    const ImageLoader& loader = cropped ? *for_crops : *plain;
    const auto picture = fetch(item, cropped ? 'c' : 'p', [&](Decoded& decoded) {
      decoded.bytes.resize(loader.row_bytes());
      loader.load(item, decoded.bytes.data());
    });
    if (byte_rows) {
      std::memcpy(sample.input.mutable_data_ptr(), picture->bytes.data(), picture->bytes.size());
      return;
    }
    const auto change = load::draw_change(augmentation, how_strong, seed, loader.spec().height, loader.spec().width);
    load::apply_change(change, picture->bytes.data(), loader.spec().width, plain->spec(), sample.input.mutable_data_ptr<float>());
  }

  void prepare_sound(const Item& item, double how_strong, std::uint64_t seed, Sample& sample) {
    const AudioSpec& spec = audio->spec();
    const auto sound = fetch(item, 's', [&](Decoded& decoded) {
      const std::vector<float> values = audio->load(item, decoded.length);
      decoded.bytes.resize(values.size() * sizeof(float));
      std::memcpy(decoded.bytes.data(), values.data(), decoded.bytes.size());
    });
    const bool log_mel = spec.features == AudioFeatures::log_mel;
    const int lines = log_mel ? spec.mels : spec.channels;
    if (!sample.input.defined()) sample.input = torch::empty({lines, sound->length});
    if (sound->bytes.size() != sample.input.nbytes())
      throw Error(fmt::format("{} values prepared, {} expected", sound->bytes.size() / sizeof(float), sample.input.numel()));
    auto* values = sample.input.mutable_data_ptr<float>();
    std::memcpy(values, sound->bytes.data(), sound->bytes.size());
    if (!(how_strong > 0)) return;
    if (log_mel)
      load::vary_log_mel(augmentation, how_strong, seed, lines, sound->length, values);
    else
      load::vary_waveform(augmentation, how_strong, seed, lines, sound->length, values);
  }

  Augmentation augmentation;
  double strength = 1;
  bool byte_rows;            ///< pictures are sent to the device as cached, and normalised there
  Preprocessor preprocessor; ///< shapes of rows, and the device's part
  train::SampleCache cache;
  std::optional<ImageLoader> plain, for_crops;
  std::optional<AudioLoader> audio;
};

TrainingPreprocessor::TrainingPreprocessor(const Bundle& bundle, const RankContext& context)
    : impl_(std::make_unique<Impl>(bundle, context)) {}

TrainingPreprocessor::~TrainingPreprocessor() = default;

std::optional<RowSpec> TrainingPreprocessor::row_spec() const {
  return impl_->preprocessor.row_spec();
}

torch::Tensor TrainingPreprocessor::trial_row(int variant) const {
  return impl_->preprocessor.trial_row(variant);
}

void TrainingPreprocessor::prepare(const Item& item, const Variation& variation, Sample& sample) const {
  const double how_strong = variation.strength * impl_->strength;
  if (impl_->plain)
    impl_->prepare_picture(item, how_strong, variation.seed, sample);
  else
    impl_->prepare_sound(item, how_strong, variation.seed, sample);
}

torch::Tensor TrainingPreprocessor::model_input(const torch::Tensor& batch) const {
  return impl_->preprocessor.model_input(batch);
}

std::vector<std::string> TrainingPreprocessor::remarks() const {
  std::vector<std::string> remarks;
  for (const auto* loader : {&impl_->plain, &impl_->for_crops})
    if (loader->has_value())
      for (std::string& each : (*loader)->remarks()) remarks.push_back(std::move(each));
  return remarks;
}

TrainingPreprocessor::Kept TrainingPreprocessor::kept() const {
  return {impl_->cache.items(), impl_->cache.bytes(), impl_->cache.limit_bytes()};
}

} // namespace mgpu
