// Convolutions by the fastest kernels for the processor at hand: libtorch's, or those of winograd.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

namespace ood {

enum class Activation { none, relu, leaky_relu };

constexpr double leaky_slope = 0.01;

// activation(x), in place.
at::Tensor activate_(at::Tensor x, Activation activation);

// x [N, in, H, W] ∗ weight [out, in, k, k], of one dtype. On a CPU for which libtorch has no bfloat16 kernels (before
// AVX-512; what it does there took 15 times as long as float32) the rounded numbers are multiplied as float32.
at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding);

// A convolution whose weights stay as they are, for inference: bias, sum and activation are fused into it where
// libtorch's CPU library can. For one thread at a time.
class FrozenConvolution {
 public:
  // weight [out, in, k, k] and bias [out], on the device; computes in their dtype.
  FrozenConvolution(const at::Tensor& weight, const at::Tensor& bias, int64_t stride, int64_t padding);

  // activation(x ∗ weight + bias); x [N, in, H, W] of the weight's dtype, channels last.
  at::Tensor forward(const at::Tensor& x, Activation activation) const;

  // activation(x ∗ weight + bias + residual); `residual` may be overwritten.
  at::Tensor forward_and_add(const at::Tensor& x, const at::Tensor& residual, Activation activation) const;

  int64_t out_channels() const { return bias_.size(0); }

 private:
  const at::Tensor& prepared_for(const at::Tensor& x) const;
  // The same by winograd.h; `residual` may be undefined.
  at::Tensor filtered(const at::Tensor& x, const at::Tensor& residual, Activation activation) const;

  at::ScalarType dtype_;     // of input and output
  at::ScalarType computed_;  // of the products
  bool fused_;
  at::Tensor weight_, bias_;
  int64_t stride_, padding_;
  // The weight laid out as oneDNN wants it, for images of the last size: for one image, and for several. Made when
  // needed.
  struct Prepared {
    at::Tensor weight;
    int64_t height = 0, width = 0;
  };
  mutable std::array<Prepared, 2> prepared_;
  mutable at::Tensor transformed_;  // for winograd.h; made when first needed
};

}  // namespace ood
