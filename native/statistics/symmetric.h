// Batches of matrices, and their symmetry.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace ood {

// The matrices of a batch [..., m, n], one by one.
std::vector<at::Tensor> each_matrix(const at::Tensor& batch);

// The batch (in host memory) with both triangles of each matrix equal: the mean of the two where they differ. Throws
// ERR_NON_FINITE, or ERR_RANGE where a matrix differs from its transpose by more than rounding.
at::Tensor symmetric(const at::Tensor& batch, const char* name);

}  // namespace ood
