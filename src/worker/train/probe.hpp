#pragma once
// A trial batch before any work: errors of the network are reported at once, and the order in which backward finishes the
// parameters becomes the order of the flat buffers.
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "mgpu/training.hpp"
#include "worker/train/recorder.hpp"
#include "worker/train/settings.hpp"

namespace mgpu::worker::train {

/// A batch of `rows` rows of zeros (or the job's trial row) with the labels of the first items.
struct TrialBatch {
  TrialBatch(const Training& training, const std::vector<Item>& items, std::int64_t rows, torch::Device device);
  Batch batch;
};

struct Probe {
  std::vector<NamedTensor> in_order; ///< parameters in the order in which backward finished them; unused ones last
  std::vector<std::string> unused;
};

/// Runs loss and backward once, in the dtype of the training. Leaves parameters, buffers and gradients unchanged. Throws
/// usage_error: no parameters, a loss that is not a scalar, does not depend on any parameter, or does not fit the network's
/// output.
Probe probe(Training& training, const Batch& batch, const RankContext& context);

/// Throws usage_error when `plan` gives a rank a single sample in a step and the network (batch norm) cannot be trained on one.
/// Reported before any work, not at the end of the first epoch.
void check_single_samples(Training& training, const std::vector<Item>& items, const Plan& plan, const RankContext& context);

/// Runs loss and backward once as a recorded pass, without changing anything. Throws usage_error with the reason if that fails.
void check_recording(Training& training, const Batch& batch, Recorder& recorder, const RankContext& context);

/// The largest power of two of rows, up to `most`, for which a probe does not run out of memory while `kept_bytes` are allocated:
/// the memory that steps need besides the network, for gradients and optimizer states.
std::int64_t largest_batch(Training& training, const std::vector<Item>& items, std::int64_t most, const RankContext& context,
                           std::int64_t kept_bytes, const std::function<void(std::int64_t rows)>& before,
                           const std::function<void()>& free_cache);

} // namespace mgpu::worker::train
