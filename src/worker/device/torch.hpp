#pragma once
// Tensors, their factories and operators, and the modes of autograd. <torch/types.h> has the same and takes four times as long to compile,
// <torch/torch.h> ten times.
#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/generated/variable_factories.h>

#include "mgpu/tensor.hpp"
