#pragma once
// One made-up batch through a network before any work: what does not fit is said at once, and the order in which backward finishes
// the parameters becomes the order of the flat buffers.
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
  std::vector<NamedTensor> in_order; ///< parameters as backward finished them; those that took no part last
  std::vector<std::string> unused;
};

/// Runs loss and backward once, in the type that the training will have. Leaves parameters, buffers and gradients as they were. Throws
/// usage_error: no parameters, a loss that is not a scalar, does not depend on any parameter, or does not fit the network's output.
Probe probe(Training& training, const Batch& batch, const RankContext& context);

/// Throws usage_error where `plan` leaves a rank a single sample in a step and the network (batch norm) cannot be trained on one. Said before
/// any work, not at the end of the first epoch.
void check_single_samples(Training& training, const std::vector<Item>& items, const Plan& plan, const RankContext& context);

/// Runs loss and backward once as a recorded pass, leaving all as it was. Throws usage_error saying why that does not work.
void check_recording(Training& training, const Batch& batch, Recorder& recorder, const RankContext& context);

/// The largest power of two of rows, up to `most`, for which a probe does not run out of memory while `kept_bytes` of it are taken: what the
/// steps will hold beside the network, its gradients and the optimizer's states.
std::int64_t largest_batch(Training& training, const std::vector<Item>& items, std::int64_t most, const RankContext& context,
                           std::int64_t kept_bytes, const std::function<void(std::int64_t rows)>& before,
                           const std::function<void()>& free_cache);

} // namespace mgpu::worker::train
