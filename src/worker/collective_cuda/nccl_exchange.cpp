#include "worker/collective_cuda/nccl_exchange.hpp"

#include "mgpu/error.hpp"
#include "worker/device/torch.hpp"

#ifdef MGPU_HAS_NCCL
#include <c10/cuda/CUDAGuard.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <optional>

#include "common/support/clock.hpp"
#include "worker/collective_cuda/device_optimizer.hpp"
#include "worker/collective_cuda/nccl_comm.hpp"
#endif

namespace mgpu::worker::collective {

#ifdef MGPU_HAS_NCCL

namespace {

constexpr std::size_t least_numbers = 1; ///< a barrier must send at least one number

class NcclExchange final : public Exchange {
 public:
  NcclExchange(const NcclSpec& spec, FlatLayout layout, int states)
      : spec_(spec),
        layout_(std::move(layout)),
        device_(torch::kCUDA, static_cast<c10::DeviceIndex>(spec.device)),
        comm_(spec),
        stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device_.index())),
        is_ready_(layout_.buckets.size()) {
    const auto floats = torch::TensorOptions().dtype(torch::kFloat).device(device_);
    parameters_ = torch::zeros({static_cast<std::int64_t>(layout_.elements)}, floats);
    gradients_ = torch::zeros_like(parameters_);
    std::size_t largest = 0;
    for (const Slice& bucket : layout_.buckets) {
      if (spec_.shard && bucket.size() % world() != 0)
        throw Error(fmt::format("a bucket of {} numbers cannot be cut into {} equal parts", bucket.size(), world()));
      shares_.push_back(spec_.shard ? part_of(bucket, static_cast<std::size_t>(spec_.rank)) : bucket);
      largest = std::max(largest, bucket.size());
    }
    if (spec_.compress) compressed_ = torch::empty({static_cast<std::int64_t>(largest)}, floats.dtype(torch::kBFloat16));
    optimizer_.emplace(parameters_, gradients_, shares_, layout_.undecayed, states);
  }

  int rank() const override { return spec_.rank; }
  int size() const override { return spec_.size; }
  float* parameters() override { return parameters_.data_ptr<float>(); }
  float* gradients() override { return gradients_.data_ptr<float>(); }

  void broadcast_parameters() override {
    after_current_stream();
    comm_.launch("taking rank 0's parameters", stream_, [&](ncclComm_t comm) {
      return ncclBroadcast(parameters(), parameters(), layout_.elements, ncclFloat, 0, comm, stream_);
    });
    comm_.await(stream_);
  }

  void ready(std::size_t bucket) override {
    const std::lock_guard lock(mutex_);
    is_ready_[bucket] = true;
    bool waits = false;
    // Every rank starts the sums in the same order.
    for (; next_ < is_ready_.size() && is_ready_[next_]; ++next_) {
      if (!waits) after_current_stream();
      waits = true;
      reduce(next_);
    }
  }

  StepResult step(const StepRequest& request) override {
    StepResult result;
    const bool looks = request.clip_norm > 0 || request.check_finite;
    double begin = now_s();
    for (std::size_t bucket = 0; bucket < is_ready_.size(); ++bucket) ready(bucket);
    std::fill(is_ready_.begin(), is_ready_.end(), false);
    next_ = 0;
    double squares = 0;
    if (looks) squares = sum_of_squares();
    sum(request.facts, "the facts of a step");
    const Decision decision = request.decide(request.facts);
    result.wait_s = now_s() - begin;
    double scale = decision.gradient_scale;
    if (looks) {
      result.grad_norm = std::sqrt(squares) * std::abs(scale);
      if (request.clip_norm > 0) scale *= std::min(1.0, request.clip_norm / (result.grad_norm + 1e-6));
    }
    if (!decision.update || (request.check_finite && !std::isfinite(squares))) return result;
    begin = now_s();
    at::cuda::CUDAEvent summed(cudaEventDisableTiming);
    summed.record(stream_);
    summed.block(c10::cuda::getCurrentCUDAStream(device_.index()));
    optimizer_->update(decision.hyper, scale);
    if (spec_.shard) gather_parameters();
    result.update_s = now_s() - begin; // the time to queue the work; the device runs on its own
    result.updated = true;
    return result;
  }

  std::vector<Slice> shard() const override { return optimizer_->shard(); }
  void read_shard(int state, std::span<float> out) override { optimizer_->read(state, out); }
  void write_shard(int state, std::span<const float> in) override { optimizer_->write(state, in); }

  void sum(std::span<double> values, std::string_view what) override {
    const torch::Tensor rows = gather_rows(values, what);
    std::fill(values.begin(), values.end(), 0.0);
    for (int rank = 0; rank < spec_.size; ++rank)
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] += rows.const_data_ptr<double>()[static_cast<std::size_t>(rank) * std::max(values.size(), least_numbers) + i];
  }

  double least(double value, std::string_view what) override { return gather_rows({&value, 1}, what).min().item<double>(); }

  void mean(std::span<float> values, std::string_view what) override {
    const c10::cuda::CUDAStreamGuard guard(stream_);
    torch::Tensor host = torch::from_blob(values.data(), {static_cast<std::int64_t>(values.size())});
    torch::Tensor sums = host.to(device_);
    comm_.launch(std::string(what), stream_, [&](ncclComm_t comm) {
      return ncclAllReduce(sums.data_ptr(), sums.data_ptr(), values.size(), ncclFloat, ncclSum, comm, stream_);
    });
    sums.div_(spec_.size);
    comm_.await(stream_);
    host.copy_(sums);
  }

  void abort(std::string_view reason) override { comm_.abort(std::string(reason)); }

 private:
  std::size_t world() const { return static_cast<std::size_t>(spec_.size); }
  Slice part_of(const Slice& bucket, std::size_t rank) const {
    const std::size_t each = bucket.size() / world();
    return {bucket.begin + rank * each, bucket.begin + (rank + 1) * each};
  }
  torch::Tensor view(const torch::Tensor& flat, const Slice& slice) const {
    return flat.narrow(0, static_cast<std::int64_t>(slice.begin), static_cast<std::int64_t>(slice.size()));
  }

  /// Makes the communication stream wait for the work queued so far on the calling thread's stream.
  void after_current_stream() {
    at::cuda::CUDAEvent here(cudaEventDisableTiming);
    here.record(c10::cuda::getCurrentCUDAStream(device_.index()));
    here.block(stream_);
  }

  void reduce(std::size_t index) {
    const Slice& bucket = layout_.buckets[index];
    const c10::cuda::CUDAStreamGuard guard(stream_);
    torch::Tensor values = view(gradients_, bucket);
    torch::Tensor travelling = values;
    if (spec_.compress) travelling = view(compressed_, {0, bucket.size()}).copy_(values);
    const ncclDataType_t type = spec_.compress ? ncclBfloat16 : ncclFloat;
    const std::size_t part = bucket.size() / world();
    const torch::Tensor mine =
        spec_.shard
            ? view(travelling, {part * static_cast<std::size_t>(spec_.rank), part * static_cast<std::size_t>(spec_.rank + 1)})
            : travelling;
    comm_.launch(fmt::format("summing bucket {} of gradients", index), stream_, [&](ncclComm_t comm) {
      void* in = travelling.data_ptr();
      if (spec_.shard) return ncclReduceScatter(in, mine.data_ptr(), part, type, ncclSum, comm, stream_);
      return ncclAllReduce(in, in, bucket.size(), type, ncclSum, comm, stream_);
    });
    if (spec_.compress) view(gradients_, shares_[index]).copy_(mine);
  }

  double sum_of_squares() {
    double squares = 0;
    {
      const c10::cuda::CUDAStreamGuard guard(stream_);
      torch::Tensor norms = torch::zeros({static_cast<std::int64_t>(shares_.size())}, gradients_.options());
      for (std::size_t i = 0; i < shares_.size(); ++i)
        norms.select(0, static_cast<std::int64_t>(i)).copy_(at::linalg_vector_norm(view(gradients_, shares_[i]), 2));
      const torch::Tensor total = norms.to(torch::kDouble).square().sum();
      const torch::Tensor on_host = pinned({}).copy_(total, /*non_blocking=*/true);
      comm_.await(stream_);
      squares = on_host.item<double>();
    }
    if (spec_.shard) sum({&squares, 1}, "the norm of the gradients");
    return squares;
  }

  /// Copies from and to pinned memory do not block the host; await() waits for all of them.
  static torch::Tensor pinned(at::IntArrayRef shape) {
    return torch::empty(shape, torch::dtype(torch::kDouble).pinned_memory(true));
  }

  /// [size, values] on the host.
  torch::Tensor gather_rows(std::span<const double> values, std::string_view what) {
    const c10::cuda::CUDAStreamGuard guard(stream_);
    const std::size_t count = std::max(values.size(), least_numbers);
    const torch::Tensor given = pinned({static_cast<std::int64_t>(count)}).zero_();
    std::copy(values.begin(), values.end(), given.mutable_data_ptr<double>());
    const torch::Tensor mine = given.to(device_, /*non_blocking=*/true);
    torch::Tensor rows = torch::empty({spec_.size, static_cast<std::int64_t>(count)}, mine.options());
    comm_.launch(std::string(what), stream_, [&](ncclComm_t comm) {
      return ncclAllGather(mine.data_ptr(), rows.data_ptr(), count, ncclDouble, comm, stream_);
    });
    torch::Tensor on_host = pinned(rows.sizes()).copy_(rows, /*non_blocking=*/true);
    comm_.await(stream_);
    return on_host;
  }

  void gather_parameters() {
    after_current_stream();
    comm_.launch("sharing the new parameters", stream_, [&](ncclComm_t comm) {
      if (const ncclResult_t begun = ncclGroupStart(); begun != ncclSuccess) return begun;
      for (std::size_t i = 0; i < shares_.size(); ++i)
        ncclAllGather(parameters() + shares_[i].begin, parameters() + layout_.buckets[i].begin, shares_[i].size(), ncclFloat,
                      comm, stream_);
      return ncclGroupEnd(); // also returns errors of the calls in the group
    });
    at::cuda::CUDAEvent shared(cudaEventDisableTiming);
    shared.record(stream_);
    shared.block(c10::cuda::getCurrentCUDAStream(device_.index()));
  }

  NcclSpec spec_;
  FlatLayout layout_;
  torch::Device device_;
  NcclComm comm_;
  c10::cuda::CUDAStream stream_;
  torch::Tensor parameters_, gradients_, compressed_;
  std::vector<Slice> shares_; ///< by bucket: the part that this rank updates
  std::optional<DeviceOptimizer> optimizer_;
  std::mutex mutex_; ///< guards the two members below
  std::vector<bool> is_ready_;
  std::size_t next_ = 0; ///< first bucket whose sum has not started
};

} // namespace

std::string new_nccl_id() {
  ncclUniqueId id;
  if (const ncclResult_t result = ncclGetUniqueId(&id); result != ncclSuccess)
    throw Error(fmt::format("ncclGetUniqueId: {}: {}", ncclGetErrorString(result), ncclGetLastError(nullptr)));
  return {id.internal, sizeof id.internal};
}

std::unique_ptr<Exchange> open_nccl_exchange(const NcclSpec& spec, FlatLayout layout, int states) {
  return std::make_unique<NcclExchange>(spec, std::move(layout), states);
}

#else

std::string new_nccl_id() {
  throw Error("this build has no NCCL");
}

std::unique_ptr<Exchange> open_nccl_exchange(const NcclSpec&, FlatLayout, int) {
  throw Error("this build has no NCCL");
}

#endif

} // namespace mgpu::worker::collective
