// A frozen copy of a network for inference: batch norm and spectral norm are folded into the convolutions once, and
// activation and residual addition are fused into them where libtorch's CPU library can.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "network.h"

namespace ood {

class FoldedNetwork {
 public:
  // Copies what it needs: later training of `network` does not show here. The body computes in `dtype`
  // (float32, bfloat16 or float64); features and logits are float32, or float64 for float64.
  FoldedNetwork(const Network& network, at::ScalarType dtype);

  // x [N, channels, H, W], normalised, of any floating dtype.
  NetworkOutput forward(const at::Tensor& x, const Poll& poll) const;

  at::Device device() const { return fc_weight_.device(); }
  at::ScalarType output_dtype() const { return fc_weight_.scalar_type(); }
  int64_t feature_dim() const { return fc_weight_.size(1); }
  int64_t num_classes() const { return fc_weight_.size(0); }
  const Architecture& architecture() const { return architecture_; }

 private:
  struct Layer {
    at::Tensor weight;
    at::Tensor bias;
    int64_t stride;
    int64_t padding;
  };
  struct ResidualBlock {
    std::vector<Layer> layers;
    Shortcut::Kind shortcut;
    int64_t stride;
    std::optional<Layer> projection;
  };

  Layer fold(Convolution& convolution, const BatchNorm& batch_norm) const;
  at::Tensor convolve(const Layer& layer, const at::Tensor& x, bool activate) const;
  // activation(convolution + residual); `residual` is the block's own and may be overwritten.
  at::Tensor convolve_and_add(const Layer& layer, const at::Tensor& x, at::Tensor residual) const;
  at::Tensor shortcut_of(const ResidualBlock& block, const at::Tensor& x, int64_t channels) const;

  Architecture architecture_;
  at::ScalarType dtype_;
  bool fused_;
  std::optional<Layer> stem_;
  std::vector<ResidualBlock> blocks_;
  at::Tensor fc_weight_, fc_bias_;
};

}  // namespace ood
