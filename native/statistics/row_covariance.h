// Covariances of rows with weights, in float64: of all rows, within classes, or pooled over them.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>

#include "core/poll.h"

namespace ood {

enum class CovarianceOf { all, pooled, classes };

struct RowCovarianceInputs {
  at::Tensor x;        // [..., n, d], float32 or float64, host memory; [n, d] with labels
  at::Tensor weights;  // as x has rows, or [n]; undefined: all 1
  CovarianceOf of = CovarianceOf::all;
  at::Tensor labels;  // [n] int64, for pooled and classes
  int64_t classes = 0;
  double ddof = 0;
};

// [..., d, d] of all rows, [d, d] pooled, [C, d, d] of classes; in host memory. ERR_NON_FINITE, ERR_RANGE for labels or
// weights that are out of range, ERR_SHAPE where a total weight is too little for ddof.
at::Tensor row_covariance(const RowCovarianceInputs& inputs, c10::Device device, const Poll& poll);

}  // namespace ood
