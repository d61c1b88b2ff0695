#pragma once
// Tensors, their factories and operators, and the modes of autograd. <torch/torch.h> has them too and takes more than twice as long to
// compile.
#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/generated/variable_factories.h>

#include "mgpu/tensor.hpp"
