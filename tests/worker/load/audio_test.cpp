#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "mgpu/load.hpp"
#include "worker/load/audio/sinc_resampler.hpp"
#include "worker/load/references.hpp"

namespace mgpu::test {
namespace {

std::string path_of(const std::string& name) {
  return name.starts_with("/") ? name : references() + name;
}

std::vector<float> loaded(const Item& item, const AudioSpec& spec) {
  std::int64_t length = 0;
  auto samples = AudioLoader(spec).load(item, length);
  EXPECT_EQ(static_cast<std::int64_t>(samples.size()),
            length * (spec.features == AudioFeatures::log_mel ? spec.mels : spec.channels));
  return samples;
}

/// Decibels by which the reference is louder than the difference.
double signal_to_noise(const std::vector<float>& ours, const std::vector<float>& theirs) {
  double signal = 0, noise = 1e-30;
  for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
    signal += static_cast<double>(theirs[i]) * theirs[i];
    noise += std::pow(static_cast<double>(ours[i]) - theirs[i], 2);
  }
  return 10 * std::log10(signal / noise);
}

double most_apart(const std::vector<float>& ours, const std::vector<float>& theirs) {
  double most = 0;
  for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i)
    most = std::max<double>(most, std::fabs(ours[i] - theirs[i]));
  return most;
}

TEST(Recording, AgreesWithSoundfileAndTorchaudio) {
  for (const auto& row : table("recordings.tsv")) {
    SCOPED_TRACE(row[0] + " at " + row[1] + " Hz");
    AudioSpec spec;
    spec.sample_rate = std::stoi(row[1]);
    const auto ours = loaded(item_of(path_of(row[0])), spec);
    const Npy<float> theirs(references() + row[2]);
    const bool lossy = row[0].ends_with(".mp3") || row[0].ends_with(".ogg") || row[0].ends_with(".m4a");
    RecordProperty(row[0] + "@" + row[1], std::to_string(signal_to_noise(ours, theirs.values)) + " dB");
    if (lossy) { // other decoders: rounding, and how they trim what the encoder added
      EXPECT_NEAR(static_cast<double>(ours.size()), static_cast<double>(theirs.values.size()), 0.05 * spec.sample_rate);
      EXPECT_GE(signal_to_noise(ours, theirs.values), 50);
    } else {
      ASSERT_EQ(ours.size(), theirs.values.size());
      EXPECT_LE(most_apart(ours, theirs.values), 1e-5); // torchaudio computes its kernel in single precision
    }
  }
}

TEST(Recording, SixteenBitSamplesAreExact) {
  AudioSpec spec;
  spec.sample_rate = 48000;
  const std::string path = "/usr/share/sounds/alsa/Front_Center.wav";
  const auto ours = loaded(item_of(path), spec);
  const Npy<float> theirs(references() + "Front_Center.wav.48000.npy");
  EXPECT_EQ(ours, theirs.values);
  EXPECT_EQ(loaded(shipped(read_file(path)), spec), ours);
}

TEST(Recording, IsCutOrPaddedToSeconds) {
  AudioSpec spec;
  const Item item = item_of(references() + "speech.wav");
  const auto whole = loaded(item, spec);
  spec.seconds = 0.7;
  const auto cut = loaded(item, spec);
  ASSERT_EQ(cut.size(), 11200u);
  EXPECT_TRUE(std::equal(cut.begin(), cut.end(), whole.begin()));
  spec.seconds = 30;
  const auto padded = loaded(item, spec);
  ASSERT_EQ(padded.size(), 480000u);
  EXPECT_TRUE(std::equal(whole.begin(), whole.end(), padded.begin()));
  EXPECT_TRUE(
      std::all_of(padded.begin() + static_cast<std::ptrdiff_t>(whole.size()), padded.end(), [](float x) { return x == 0; }));
}

TEST(Recording, ChannelsAreKeptWhenTheModelTakesThem) {
  AudioSpec spec;
  spec.sample_rate = 48000;
  spec.channels = 6;
  const Item surround = item_of(references() + "surround.wav");
  const auto six = loaded(surround, spec);
  spec.channels = 1;
  const auto mixed = loaded(surround, spec);
  ASSERT_EQ(six.size(), mixed.size() * 6);
  for (std::size_t i = 0; i < mixed.size(); ++i) {
    float sum = 0;
    for (std::size_t c = 0; c < 6; ++c) sum += six[c * mixed.size() + i];
    ASSERT_NEAR(mixed[i], sum / 6, 1e-6);
  }
  spec.channels = 2;
  EXPECT_THROW(loaded(surround, spec), Error);
}

TEST(Resampler, DoesNotDependOnHowTheInputIsCut) {
  std::vector<float> input(20000);
  for (std::size_t i = 0; i < input.size(); ++i) input[i] = std::sin(static_cast<float>(i * i % 977));
  for (const auto& [from, to] : {std::pair(44100, 16000), {8000, 16000}, {48000, 16000}, {16000, 22050}, {11025, 48000}}) {
    std::vector<float> whole, pieces;
    worker::load::SincResampler one(from, to), many(from, to);
    one.push(input.data(), 20000, whole);
    one.finish(whole);
    for (std::int64_t at = 0, step = 1; at < 20000; at += step, step = std::min<std::int64_t>(step * 3 % 1009 + 1, 20000 - at))
      many.push(input.data() + at, std::min<std::int64_t>(step, 20000 - at), pieces);
    many.finish(pieces);
    EXPECT_EQ(whole.size(),
              (20000ull * static_cast<unsigned>(to) + static_cast<unsigned>(from) - 1) / static_cast<unsigned>(from));
    EXPECT_EQ(whole, pieces) << from << " to " << to;
  }
}

TEST(LogMel, AgreesWithFasterWhisper) {
  for (const auto& row : table("mel.tsv")) {
    SCOPED_TRACE(row[4]);
    AudioSpec spec;
    spec.mels = std::stoi(row[0]), spec.n_fft = std::stoi(row[1]), spec.hop = std::stoi(row[2]);
    const Npy<float> samples(references() + row[3]), theirs(references() + row[4]);
    const auto ours = log_mel(samples.values.data(), static_cast<std::int64_t>(samples.values.size()), spec);
    // An odd n_fft leaves the reference one frame short of samples / hop.
    const auto frames = static_cast<std::size_t>(theirs.shape.at(1)), all = ours.size() / static_cast<std::size_t>(spec.mels);
    ASSERT_EQ(all, samples.values.size() / static_cast<std::size_t>(spec.hop));
    ASSERT_LE(all - frames, static_cast<std::size_t>(spec.n_fft % 2));
    double most = 0;
    for (std::size_t i = 0; i < theirs.values.size(); ++i)
      most = std::max<double>(most, std::fabs(ours[i / frames * all + i % frames] - theirs.values[i]));
    EXPECT_LE(most, 1e-4);
  }
}

TEST(LogMel, IsWhatTheLoaderReturns) {
  AudioSpec spec;
  const Item item = item_of(references() + "speech.wav");
  const auto samples = loaded(item, spec);
  spec.features = AudioFeatures::log_mel;
  EXPECT_EQ(loaded(item, spec), log_mel(samples.data(), static_cast<std::int64_t>(samples.size()), spec));
}

TEST(LogMel, ShortRecordingsAreReflectedAsOftenAsNeeded) {
  AudioSpec spec;
  const std::vector<float> samples(170, 0.25f); // shorter than half a window
  const auto features = log_mel(samples.data(), 170, spec);
  ASSERT_EQ(features.size(), 80u);
  EXPECT_TRUE(std::all_of(features.begin(), features.end(), [](float x) { return std::isfinite(x); }));
  EXPECT_TRUE(log_mel(samples.data(), 159, spec).empty());
}

TEST(Recording, SameBitsFromManyThreads) {
  AudioSpec spec;
  spec.features = AudioFeatures::log_mel;
  const std::vector<std::string> names{"speech.wav", "music.mp3", "opus.ogg", "aac.m4a", "flac.flac", "mulaw.wav"};
  std::vector<std::vector<float>> expected;
  for (const auto& name : names) expected.push_back(loaded(item_of(references() + name), spec));
  const AudioLoader loader(spec);
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::size_t round = 0; round < names.size(); ++round) {
        const std::size_t i = (round + t) % names.size();
        std::int64_t length = 0;
        wrong[t] += loader.load(item_of(references() + names[i]), length) != expected[i];
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

} // namespace
} // namespace mgpu::test
