#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "mgpu/network.hpp"
#include "worker/device/torch.hpp"
#include "worker/preprocess/nvjpeg_decoder.hpp"

namespace mgpu {

using namespace worker;

namespace {

/// [1, C, 1, 1] on the device, to be broadcast over a batch of pictures.
torch::Tensor channel_values(const std::vector<double>& values, torch::Device device) {
  return torch::tensor(values, torch::kFloat).view({1, static_cast<std::int64_t>(values.size()), 1, 1}).to(device);
}

} // namespace

struct Preprocessor::Impl {
  std::optional<ImageLoader> images;
  std::unique_ptr<GpuPictures> gpu_images; ///< nullptr: `images` decodes
  std::optional<AudioLoader> audio;
  std::optional<RowSpec> row_spec;
  bool normalise_on_device = false;
  double scale = 1;
  torch::Tensor mean, std; ///< float32 [1, C, 1, 1] on the device

  void open_images(const ImageSpec& spec, const RankContext& context) {
    // A GPU gets bytes: a quarter of the copying, and normalisation there is cheap.
    normalise_on_device = context.device.is_cuda();
    images.emplace(spec, normalise_on_device ? PixelForm::uint8_hwc : PixelForm::float_chw, LoadLimits::of(context.config));
    gpu_images = open_nvjpeg(context.config, context.device, *images, LoadLimits::of(context.config));
    if (normalise_on_device) {
      row_spec = RowSpec{{spec.height, spec.width, spec.channels}, torch::kByte};
      scale = spec.scale;
      mean = channel_values(spec.mean, context.device);
      std = channel_values(spec.std, context.device);
    } else {
      row_spec = RowSpec{{spec.channels, spec.height, spec.width}, torch::kFloat};
    }
  }

  void open_audio(const AudioSpec& spec, const RankContext& context) {
    audio.emplace(spec, LoadLimits::of(context.config));
    if (!spec.seconds) return;
    const auto samples = static_cast<std::int64_t>(std::llround(*spec.seconds * spec.sample_rate));
    row_spec = spec.features == AudioFeatures::log_mel ? RowSpec{{spec.mels, samples / spec.hop}, torch::kFloat}
                                                       : RowSpec{{spec.channels, samples}, torch::kFloat};
  }

  void prepare_audio(const Item& item, Sample& sample) const {
    const AudioSpec& spec = audio->spec();
    std::int64_t length = 0;
    std::vector<float> values = audio->load(item, length);
    const std::int64_t lines = spec.features == AudioFeatures::log_mel ? spec.mels : spec.channels;
    if (row_spec) {
      if (static_cast<std::int64_t>(values.size()) != sample.input.numel())
        throw Error(fmt::format("{} values prepared, {} expected", values.size(), sample.input.numel()));
      std::memcpy(sample.input.mutable_data_ptr(), values.data(), values.size() * sizeof(float));
      return;
    }
    auto* held = new std::vector<float>(std::move(values)); // freed with the tensor
    sample.input = torch::from_blob(
        held->data(), {lines, length}, [held](void*) { delete held; }, torch::kFloat);
  }
};

Preprocessor::Preprocessor(const Bundle& bundle, const RankContext& context) : impl_(std::make_unique<Impl>()) {
  if (bundle.image)
    impl_->open_images(*bundle.image, context);
  else if (bundle.audio)
    impl_->open_audio(*bundle.audio, context);
  else
    throw usage_error(fmt::format("{}: the bundle declares neither image nor audio", bundle.folder));
}

Preprocessor::~Preprocessor() = default;

std::optional<RowSpec> Preprocessor::row_spec() const {
  return impl_->row_spec;
}

torch::Tensor Preprocessor::trial_row(int variant) const {
  if (impl_->row_spec) return {};
  const AudioSpec& spec = impl_->audio->spec();
  const std::int64_t samples = (2 + variant) * spec.sample_rate;
  return spec.features == AudioFeatures::log_mel ? torch::zeros({spec.mels, samples / spec.hop})
                                                 : torch::zeros({spec.channels, samples});
}

void Preprocessor::prepare(const Item& item, Sample& sample) const {
  if (impl_->gpu_images)
    sample.extra = impl_->gpu_images->load(item, sample.input.mutable_data_ptr());
  else if (impl_->images)
    sample.extra = impl_->images->load(item, sample.input.mutable_data_ptr());
  else
    impl_->prepare_audio(item, sample);
}

std::vector<std::string> Preprocessor::remarks() const {
  std::vector<std::string> remarks;
  if (impl_->gpu_images) remarks.push_back(impl_->gpu_images->summary());
  if (impl_->images)
    for (std::string& each : impl_->images->remarks()) remarks.push_back(std::move(each));
  return remarks;
}

torch::Tensor Preprocessor::model_input(const torch::Tensor& batch) const {
  if (!impl_->normalise_on_device) return batch;
  // [B, H, W, C] bytes viewed as [B, C, H, W] are channels_last already: no copy is needed.
  return (batch.permute({0, 3, 1, 2}).to(torch::kFloat) * impl_->scale - impl_->mean) / impl_->std;
}

} // namespace mgpu
