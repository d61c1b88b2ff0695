#include "worker/load/audio/sinc_resampler.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace mgpu::worker::load {
namespace {

constexpr double zero_crossings = 6, rolloff = 0.99;
constexpr int unrolled = 8;

/// Dot product with eight partial sums in a fixed order.
float dot(const float* a, const float* b, int count) {
  float sums[unrolled] = {};
  for (int i = 0; i < count; i += unrolled)
    for (int k = 0; k < unrolled; ++k) sums[k] += a[i + k] * b[i + k];
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

} // namespace

SincResampler::SincResampler(int from_hertz, int to_hertz) {
  const int divisor = std::gcd(from_hertz, to_hertz);
  from_ = from_hertz / divisor;
  to_ = to_hertz / divisor;
  if (from_ == to_) return;
  const double cutoff = static_cast<double>(std::min(from_, to_)) * rolloff;
  const double half_width = zero_crossings * static_cast<double>(from_) / cutoff; // in input samples
  taps_ = (static_cast<int>(2 * half_width) + 2 + unrolled - 1) / unrolled * unrolled;
  kernel_.assign(static_cast<std::size_t>(to_ * taps_), 0);
  for (std::int64_t phase = 0; phase < to_; ++phase) {
    const double center = static_cast<double>(phase) * static_cast<double>(from_) / static_cast<double>(to_);
    const auto first = static_cast<std::int64_t>(std::ceil(center - half_width));
    first_.push_back(first);
    for (int k = 0; k < taps_; ++k) {
      const double t =
          (static_cast<double>(first + k) / static_cast<double>(from_) - static_cast<double>(phase) / static_cast<double>(to_)) *
          cutoff;
      if (std::fabs(t) >= zero_crossings) continue;
      const double window = std::pow(std::cos(t * std::numbers::pi / zero_crossings / 2), 2);
      const double sinc = t == 0 ? 1 : std::sin(t * std::numbers::pi) / (t * std::numbers::pi);
      kernel_[static_cast<std::size_t>(phase * taps_ + k)] =
          static_cast<float>(window * sinc * cutoff / static_cast<double>(from_));
    }
    reach_ = std::max(reach_, first + taps_);
  }
  // Silence before the first sample.
  pending_begin_ = *std::min_element(first_.begin(), first_.end());
  pending_.assign(static_cast<std::size_t>(-pending_begin_), 0);
}

void SincResampler::push(const float* samples, std::int64_t count, std::vector<float>& out) {
  received_ += count;
  if (from_ == to_) {
    out.insert(out.end(), samples, samples + count);
    return;
  }
  pending_.insert(pending_.end(), samples, samples + count);
  // Complete periods whose last tap has arrived.
  const std::int64_t periods = received_ < reach_ ? 0 : (received_ - reach_) / from_ + 1;
  produce(periods * to_, out);
}

void SincResampler::finish(std::vector<float>& out) {
  if (from_ == to_) return;
  const std::int64_t total = (received_ * to_ + from_ - 1) / from_;
  const std::int64_t silence = reach_ + from_;
  pending_.insert(pending_.end(), static_cast<std::size_t>(silence), 0.0f);
  produce(total, out);
}

void SincResampler::produce(std::int64_t until, std::vector<float>& out) {
  if (until <= produced_) return;
  const std::size_t had = out.size();
  out.resize(had + static_cast<std::size_t>(until - produced_));
  float* to = out.data() + had;
  for (; produced_ < until; ++produced_) {
    const std::int64_t period = produced_ / to_, phase = produced_ % to_;
    const std::int64_t at = period * from_ + first_[static_cast<std::size_t>(phase)] - pending_begin_;
    *to++ = dot(pending_.data() + at, kernel_.data() + phase * taps_, taps_);
  }
  const std::int64_t needed = produced_ / to_ * from_ + first_[0]; // phase 0 starts first
  const std::int64_t done = std::min<std::int64_t>(needed - pending_begin_, static_cast<std::int64_t>(pending_.size()));
  if (done <= 0) return;
  pending_.erase(pending_.begin(), pending_.begin() + done);
  pending_begin_ += done;
}

} // namespace mgpu::worker::load
