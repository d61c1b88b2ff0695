#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numbers>
#include <utility>
#include <vector>

#include "mgpu/error.hpp"
#include "mgpu/load.hpp"
#include "worker/load/audio/fft.hpp"

namespace mgpu {

using namespace worker;

using namespace worker;
namespace worker::load {
namespace {

/// Mel scale of Slaney's Auditory Toolbox: linear below 1 kHz, logarithmic above.
constexpr double hertz_per_mel = 200.0 / 3, log_start_hertz = 1000.0, log_start_mel = log_start_hertz / hertz_per_mel;
const double log_step = std::log(6.4) / 27.0;

double mel_of(double hertz) {
  return hertz < log_start_hertz ? hertz / hertz_per_mel : log_start_mel + std::log(hertz / log_start_hertz) / log_step;
}

double hertz_of(double mel) {
  return mel < log_start_mel ? mel * hertz_per_mel : log_start_hertz * std::exp(log_step * (mel - log_start_mel));
}

/// One triangular filter: weights of bins first, first + 1, …
struct Filter {
  int first = 0;
  std::vector<float> weights;
};

std::vector<Filter> mel_filters(const AudioSpec& spec) {
  const int bins = spec.n_fft / 2 + 1;
  const double top = mel_of(spec.sample_rate / 2.0);
  std::vector<double> edges(static_cast<std::size_t>(spec.mels) + 2);
  for (std::size_t i = 0; i < edges.size(); ++i) edges[i] = hertz_of(top * static_cast<double>(i) / (spec.mels + 1));
  std::vector<Filter> filters(static_cast<std::size_t>(spec.mels));
  for (std::size_t i = 0; i < filters.size(); ++i) {
    Filter& filter = filters[i];
    for (int bin = 0; bin < bins; ++bin) {
      const double hertz = static_cast<double>(bin) * spec.sample_rate / spec.n_fft;
      const double rising = (hertz - edges[i]) / (edges[i + 1] - edges[i]),
                   falling = (edges[i + 2] - hertz) / (edges[i + 2] - edges[i + 1]);
      const double weight = std::max(0.0, std::min(rising, falling)) * 2 / (edges[i + 2] - edges[i]); // equal area
      if (weight <= 0) continue;
      if (filter.weights.empty()) filter.first = bin;
      filter.weights.resize(static_cast<std::size_t>(bin - filter.first));
      filter.weights.push_back(static_cast<float>(weight));
    }
  }
  return filters;
}

/// The tables for given settings, and the memory for eight frames.
struct Plan {
  explicit Plan(const AudioSpec& spec)
      : n_fft(spec.n_fft),
        bins(spec.n_fft / 2 + 1),
        half(spec.n_fft % 2 == 0),
        fft(half ? spec.n_fft / 2 : spec.n_fft),
        filters(mel_filters(spec)),
        data(static_cast<std::size_t>(fft.size()) + lane_count),
        other(data.size()),
        power(static_cast<std::size_t>(bins)) {
    for (int i = 0; i < n_fft; ++i) window.push_back(static_cast<float>(0.5 - 0.5 * std::cos(2 * std::numbers::pi * i / n_fft)));
    window.resize(window.size() + lane_count);
    for (int k = 0; k <= n_fft / 2; ++k) {
      const double angle = -2 * std::numbers::pi * k / n_fft;
      split.push_back({static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))});
    }
  }

  int n_fft, bins;
  bool half; ///< even n_fft: the real transform uses a complex one of half the length
  Fft fft;
  std::vector<Filter> filters;
  std::vector<float> window;
  std::vector<std::pair<float, float>> split; ///< roots that separate the two interleaved halves
  std::vector<ComplexLanes> data, other;
  /// Power of one bin. A struct, because containers of bare vector types forget their alignment.
  struct alignas(32) Power {
    Lanes value;
  };
  std::vector<Power> power;
  Power peak; ///< largest log10 so far, per lane
};

Plan& plan_of(const AudioSpec& spec) {
  thread_local std::unique_ptr<Plan> kept;
  thread_local std::array<int, 3> key{};
  const std::array<int, 3> wanted{spec.n_fft, spec.mels, spec.sample_rate};
  if (kept == nullptr || key != wanted) {
    kept = std::make_unique<Plan>(spec);
    key = wanted;
  }
  return *kept;
}

/// Windowed samples of eight frames, one per lane, as input of the transform. Frame distance: `hop`; reads up to 8 past n_fft.
MGPU_INLINE void gather(Plan& plan, const float* const (&frames)[lane_count]) {
  for (int i = 0; i < plan.n_fft; i += lane_count) {
    Lanes rows[lane_count], window;
    read_lanes(plan.window.data() + i, window);
#pragma GCC unroll 8
    for (int f = 0; f < lane_count; ++f) {
      read_lanes(frames[f] + i, rows[f]);
      rows[f] *= window;
    }
    transpose(rows);
    if (plan.half) {
      for (int k = 0; k < lane_count / 2; ++k) plan.data[static_cast<std::size_t>(i / 2 + k)] = {rows[k * 2], rows[k * 2 + 1]};
    } else {
      for (int k = 0; k < lane_count; ++k) plan.data[static_cast<std::size_t>(i + k)] = {rows[k], Lanes{}};
    }
  }
}

/// |spectrum|² from the transform.
MGPU_INLINE void spectrum_power(Plan& plan, const ComplexLanes* z) {
  if (!plan.half) {
    for (int k = 0; k < plan.bins; ++k) plan.power[static_cast<std::size_t>(k)].value = z[k].re * z[k].re + z[k].im * z[k].im;
    return;
  }
  const int size = plan.fft.size();
  const Lanes sum = z[0].re + z[0].im, difference = z[0].re - z[0].im;
  plan.power[0].value = sum * sum;
  plan.power[static_cast<std::size_t>(size)].value = difference * difference;
  for (int k = 1; k <= size / 2; ++k) {
    // X[k] = even + w·odd and X[size − k] = conj(even − w·odd); symmetry separates the even and odd halves.
    const ComplexLanes &a = z[k], &b = z[size - k];
    const Lanes even_re = (a.re + b.re) * 0.5f, even_im = (a.im - b.im) * 0.5f;
    const Lanes odd_re = (a.im + b.im) * 0.5f, odd_im = (b.re - a.re) * 0.5f;
    const auto [re, im] = plan.split[static_cast<std::size_t>(k)];
    const Lanes turned_re = odd_re * re - odd_im * im, turned_im = odd_re * im + odd_im * re;
    const Lanes sum_re = even_re + turned_re, sum_im = even_im + turned_im;
    const Lanes other_re = even_re - turned_re, other_im = even_im - turned_im;
    plan.power[static_cast<std::size_t>(k)].value = sum_re * sum_re + sum_im * sum_im;
    plan.power[static_cast<std::size_t>(size - k)].value = other_re * other_re + other_im * other_im;
  }
}

/// log10 of the mel energies of eight frames: out[mel × stride + frame] for the first `valid` frames; the others repeat one.
MGPU_INLINE void eight_frames(Plan& plan, const float* const (&frames)[lane_count], int valid, float* out, std::int64_t stride) {
  gather(plan, frames);
  spectrum_power(plan, plan.fft.transform(plan.data.data(), plan.other.data()));
  for (std::size_t m = 0; m < plan.filters.size(); ++m) {
    const Filter& filter = plan.filters[m];
    Lanes energy{};
    const Plan::Power* power = plan.power.data() + filter.first;
    for (std::size_t i = 0; i < filter.weights.size(); ++i) energy += power[i].value * filter.weights[i];
    energy = energy < 1e-10f ? Lanes{} + 1e-10f : energy;
    log10_lanes(energy);
    plan.peak.value = energy > plan.peak.value ? energy : plan.peak.value;
    std::memcpy(out + static_cast<std::int64_t>(m) * stride, &energy, sizeof(float) * static_cast<std::size_t>(valid));
  }
}

using EightFrames = void (*)(Plan&, const float* const (&)[lane_count], int, float*, std::int64_t);

void eight_frames_portable(Plan& plan, const float* const (&frames)[lane_count], int valid, float* out, std::int64_t stride) {
  eight_frames(plan, frames, valid, out, stride);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) void eight_frames_avx2(Plan& plan, const float* const (&frames)[lane_count], int valid,
                                                       float* out, std::int64_t stride) {
  eight_frames(plan, frames, valid, out, stride);
}
#endif

EightFrames best_eight_frames() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return eight_frames_avx2;
#endif
  return eight_frames_portable;
}

/// Index of sample i of a recording continued by reflection at both ends, as often as needed.
std::int64_t reflected(std::int64_t i, std::int64_t count) {
  if (count == 1) return 0;
  const std::int64_t period = 2 * (count - 1);
  i = ((i % period) + period) % period;
  return i < count ? i : period - i;
}

} // namespace
} // namespace worker::load

std::vector<float> log_mel(const float* samples, std::int64_t count, const AudioSpec& spec) {
  using namespace load;
  if (spec.n_fft < 2 || spec.hop < 1 || spec.mels < 1 || spec.sample_rate < 1)
    throw usage_error("log-mel needs positive n_fft, hop and mels");
  const std::int64_t frames = count / spec.hop;
  std::vector<float> out(static_cast<std::size_t>(frames) * static_cast<std::size_t>(spec.mels));
  if (frames == 0) return out;
  static const EightFrames run = best_eight_frames();
  Plan& plan = plan_of(spec);
  const std::int64_t pad = spec.n_fft / 2, reach = spec.n_fft + lane_count; // samples that one frame may read
  plan.peak.value = Lanes{} - 10.0f;                                        // lowest value after the clamp
  std::vector<float> edge;                                                  // samples of frames that extend beyond an end
  for (std::int64_t first = 0; first < frames; first += lane_count) {
    const int valid = static_cast<int>(std::min<std::int64_t>(lane_count, frames - first));
    const std::int64_t begin = first * spec.hop - pad, end = (first + valid - 1) * spec.hop - pad + reach;
    const float* base = samples + begin;
    if (begin < 0 || end > count) {
      edge.resize(static_cast<std::size_t>(end - begin));
      for (std::int64_t i = begin; i < end; ++i) edge[static_cast<std::size_t>(i - begin)] = samples[reflected(i, count)];
      base = edge.data();
    }
    const float* rows[lane_count];
    for (int f = 0; f < lane_count; ++f) rows[f] = base + static_cast<std::int64_t>(std::min(f, valid - 1)) * spec.hop;
    run(plan, rows, valid, out.data() + first, frames);
  }
  float peak = plan.peak.value[0];
  for (int lane = 1; lane < lane_count; ++lane) peak = std::max(peak, plan.peak.value[lane]);
  const float floor = peak - 8.0f;
  for (float& value : out) value = ((value > floor ? value : floor) + 4.0f) * 0.25f;
  return out;
}

} // namespace mgpu
