// Logarithms of determinants, by LU factors.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include "core/named_tensors.h"
#include "core/poll.h"

namespace ood {

// "sign" and "logarithm" of |det|, float64 [batch] each, of square matrices [..., n, n] (float32 or float64, host
// memory). ERR_NON_FINITE, ERR_RANGE where a pivot is beyond float64.
NamedTensors log_determinants(const at::Tensor& matrix, c10::Device device, const Poll& poll);

}  // namespace ood
