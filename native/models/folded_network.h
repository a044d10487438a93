// A frozen copy of a network for inference: batch norm and spectral norm are folded into the convolutions once, and
// activation and residual addition are fused into them where libtorch's CPU library can.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "kernels/convolution.h"
#include "models/inference_model.h"
#include "models/network.h"

namespace ood {

class FoldedNetwork final : public InferenceModel {
 public:
  // Copies what it needs: later training of `network` does not show here. The body computes in `dtype`
  // (float32, bfloat16 or float64); features and logits are float32, or float64 for float64.
  FoldedNetwork(const Network& network, at::ScalarType dtype);

  // x [N, channels, H, W], normalised, of any floating dtype.
  NetworkOutput forward(const at::Tensor& x, const WantedOutputs& wanted, const Poll& poll) const override;

  at::Device device() const override { return fc_weight_.device(); }
  at::ScalarType dtype() const { return dtype_; }
  at::ScalarType output_dtype() const override { return fc_weight_.scalar_type(); }
  int64_t feature_dim() const override { return fc_weight_.size(1); }
  int64_t num_classes() const override { return fc_weight_.size(0); }
  int64_t in_channels() const override { return architecture_.in_channels; }
  int64_t image_size() const override { return architecture_.fixed_size(); }
  int64_t nbytes() const override { return nbytes_; }  // of the folded weights

 private:
  struct ResidualBlock {
    std::vector<FrozenConvolution> layers;
    Shortcut::Kind shortcut;
    int64_t stride;
    std::optional<FrozenConvolution> projection;
  };

  FrozenConvolution fold(Convolution& convolution, const BatchNorm& batch_norm);
  at::Tensor shortcut_of(const ResidualBlock& block, const at::Tensor& x, int64_t channels) const;

  Architecture architecture_;
  at::ScalarType dtype_;
  std::optional<FrozenConvolution> stem_;
  std::vector<ResidualBlock> blocks_;
  at::Tensor fc_weight_, fc_bias_;
  int64_t nbytes_ = 0;
};

}  // namespace ood
