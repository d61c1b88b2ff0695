#pragma once
// The tensor types of the public interface without the rest of LibTorch: <torch/torch.h> takes ten times as long to compile. A file that
// computes with tensors includes <torch/torch.h> itself.
#include <ATen/core/Tensor.h>

namespace torch {
using namespace at; // as <torch/types.h> has it
} // namespace torch
