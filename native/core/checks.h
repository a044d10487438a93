// Checks of what only the data can tell. Each failure names the argument, the value expected and found.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ood {

// Throws ERR_NON_FINITE naming the first row (index along dimension 0) of a floating tensor that holds a NaN or
// infinity.
void require_finite(const at::Tensor& tensor, const char* name);

// Throws ERR_RANGE naming the first label (a 1-D integer tensor) outside 0 … classes − 1.
void require_labels(const at::Tensor& labels, int64_t classes, const char* name);

// Throws ERR_SHAPE unless features [n, d] have at least one row and one column.
void require_rows(const at::Tensor& features);

// The same, and ERR_SHAPE unless there is one label per row.
void require_pairs(const at::Tensor& features, const at::Tensor& labels);

}  // namespace ood
