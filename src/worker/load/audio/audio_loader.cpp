#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "mgpu/error.hpp"
#include "mgpu/load.hpp"
#include "worker/load/audio/audio_file.hpp"
#include "worker/load/audio/sinc_resampler.hpp"

namespace mgpu {

using namespace worker;

using namespace worker;
namespace worker::load {
namespace {

// Beyond these the header is damaged, and the resampler's table would be too large.
constexpr int lowest_rate = 100, highest_rate = 1'000'000;

/// One channel of the model's input from the interleaved channels of the file.
void mix(const float* interleaved, std::int64_t count, int channels, int wanted, int channel, std::vector<float>& to) {
  to.resize(static_cast<std::size_t>(count));
  if (wanted > 1 || channels == 1) {
    const int from = channels == 1 ? 0 : channel;
    for (std::int64_t i = 0; i < count; ++i) to[static_cast<std::size_t>(i)] = interleaved[i * channels + from];
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    float sum = 0;
    for (int c = 0; c < channels; ++c) sum += interleaved[i * channels + c];
    to[static_cast<std::size_t>(i)] = sum / static_cast<float>(channels);
  }
}

/// The recording as [channels][T], resampled; stops after `most` samples per channel.
std::vector<std::vector<float>> decode(AudioFile& file, const AudioSpec& spec, const LoadLimits& limits, std::int64_t most) {
  std::vector<std::vector<float>> channels(static_cast<std::size_t>(spec.channels));
  std::vector<std::unique_ptr<SincResampler>> resamplers;
  std::vector<float> mono;
  std::int64_t received = 0;
  file.decode([&](const float* interleaved, std::int64_t count) {
    const AudioHeader& header = file.header();
    if (header.sample_rate < lowest_rate || header.sample_rate > highest_rate)
      throw Error(fmt::format("a sampling rate of {} Hz", header.sample_rate));
    if (spec.channels > 1 && header.channels != 1 && header.channels != spec.channels)
      throw Error(fmt::format("{} channels, the model takes {}", header.channels, spec.channels));
    if (resamplers.empty())
      for (int c = 0; c < spec.channels; ++c)
        resamplers.push_back(std::make_unique<SincResampler>(header.sample_rate, spec.sample_rate));
    received += count;
    if (static_cast<double>(received) > limits.audio_seconds * header.sample_rate)
      throw Error(fmt::format("longer than the limit of {:g} s", limits.audio_seconds));
    for (std::size_t c = 0; c < channels.size(); ++c) {
      mix(interleaved, count, header.channels, spec.channels, static_cast<int>(c), mono);
      resamplers[c]->push(mono.data(), count, channels[c]);
    }
    const std::size_t bytes = channels.size() * channels[0].size() * sizeof(float);
    if (bytes > limits.memory_bytes)
      throw Error(fmt::format("its samples take more than {} bytes of memory, the limit", limits.memory_bytes));
    return static_cast<std::int64_t>(channels[0].size()) < most;
  });
  if (received == 0) throw Error("zero samples");
  for (std::size_t c = 0; c < channels.size(); ++c) resamplers[c]->finish(channels[c]);
  return channels;
}

} // namespace
} // namespace worker::load

AudioLoader::AudioLoader(AudioSpec spec, LoadLimits limits) : spec_(spec), limits_(limits) {
  if (spec.sample_rate < 1) throw usage_error("sample rate must be positive");
  if (spec.channels < 1) throw usage_error("audio channels must be positive");
  if (spec.seconds && !(*spec.seconds > 0 && *spec.seconds < 1e6)) throw usage_error("audio seconds must be positive");
  if (spec.n_fft < 2 || spec.hop < 1 || spec.mels < 1) throw usage_error("log-mel needs positive n_fft, hop and mels");
  if (spec.features == AudioFeatures::log_mel && spec.channels != 1) throw usage_error("log-mel features are of one channel");
}

std::vector<float> AudioLoader::load(const Item& item, std::int64_t& length) const {
  load::AudioFile file(item, limits_);
  if (file.header().seconds > limits_.audio_seconds)
    throw Error(fmt::format("{:.0f} s long, limit {:g} s", file.header().seconds, limits_.audio_seconds));
  const std::int64_t fixed = spec_.seconds ? std::llround(*spec_.seconds * spec_.sample_rate) : 0;
  auto channels = load::decode(file, spec_, limits_, fixed > 0 ? fixed : INT64_MAX);
  if (fixed > 0)
    for (auto& channel : channels) channel.resize(static_cast<std::size_t>(fixed), 0.0f);
  length = static_cast<std::int64_t>(channels[0].size());
  if (spec_.features == AudioFeatures::log_mel) {
    length /= spec_.hop;
    if (length == 0) throw Error("too short for one frame of log-mel features");
    return log_mel(channels[0].data(), static_cast<std::int64_t>(channels[0].size()), spec_);
  }
  std::vector<float> all = std::move(channels[0]);
  for (std::size_t c = 1; c < channels.size(); ++c) all.insert(all.end(), channels[c].begin(), channels[c].end());
  return all;
}

} // namespace mgpu
