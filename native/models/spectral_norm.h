// Spectral normalisation of a convolution, as DDU does it (METHOD.md section 1): the largest singular value σ is
// estimated by power iteration on vectors u and v kept as buffers, and the weight is scaled down only where σ exceeds
// the coefficient. A 3×3 convolution is treated as the linear operator it is on its own input size, a 1×1 as a matrix.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ood {

struct SpectralNorm {
  double coefficient = 3.0;
  int64_t power_iterations = 1;
  int64_t stride = 1;
  int64_t input_size = 0;  // height and width of the convolution's input
  at::Tensor u;            // flat, of the output's (or the matrix's rows') length
  at::Tensor v;            // flat, of the input's (or the matrix's columns') length
  at::Tensor sigma;        // [1], the last estimate, for inspection

  // Random unit vectors for `weight` [out, in, k, k], drawn from `generator`.
  void initialise(const at::Tensor& weight, at::Generator& generator);

  // Advances u and v in place by `iterations` steps; no gradient is recorded.
  void iterate(const at::Tensor& weight, int64_t iterations);

  // u·(W v), with u and v held fixed; the gradient flows through it.
  at::Tensor estimate(const at::Tensor& weight) const;

  // The weight divided by what keeps its σ, as estimated, at or below the coefficient.
  at::Tensor scaled(const at::Tensor& weight, const at::Tensor& estimate) const;
};

}  // namespace ood
