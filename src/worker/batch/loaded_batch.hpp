#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "common/wire/items_messages.hpp"
#include "mgpu/error.hpp"
#include "mgpu/tensor.hpp"
#include "mgpu/work.hpp"

namespace mgpu::worker {

/// A reusable batch tensor on the host with views of its rows.
struct InputBuffer {
  torch::Tensor whole;             ///< [capacity, …]
  std::vector<torch::Tensor> rows; ///< [capacity]
};

/// A granted batch while it is loaded and run.
struct LoadedBatch {
  wire::BatchRange range;
  torch::Tensor input;             ///< [B, …] on the host; undefined when the job prepares no tensors or no good row is left
  torch::Tensor lengths;           ///< [B] int64 on the host; undefined with a RowSpec
  std::vector<Sample> samples;     ///< [B]
  std::vector<std::string> errors; ///< [B] "" or why the row failed
  std::vector<Cause> causes;       ///< [B] causes of `errors`
  std::vector<float> seconds;      ///< [B] loading time; the share of the run is added later
  std::int64_t bytes = 0;          ///< without a RowSpec: size of its rows or of `input`
  InputBuffer* buffer = nullptr;   ///< with a RowSpec: the buffer of which `input` is a view
  std::chrono::steady_clock::time_point granted;

  std::size_t rows() const { return range.items.size(); }
  bool ok(std::size_t row) const { return errors[row].empty(); }
  void fail(std::size_t row, std::string reason, Cause cause) {
    errors[row] = std::move(reason);
    causes[row] = cause;
  }
};

} // namespace mgpu::worker
