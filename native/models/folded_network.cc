// A frozen, folded copy of a network for inference.
#include "models/folded_network.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace ood {

FoldedNetwork::FoldedNetwork(const Network& network, at::ScalarType dtype)
    : architecture_(network.architecture()), dtype_(dtype) {
  const at::NoGradGuard no_grad;
  stem_ = fold(*network.stem_convolution, *network.stem_batch_norm);
  for (const auto& block : network.blocks) {
    ResidualBlock folded{{}, block->shortcut->kind(), block->shortcut->stride(), {}};
    for (size_t i = 0; i < block->convolutions.size(); ++i)
      folded.layers.push_back(fold(*block->convolutions[i], *block->batch_norms[i]));
    if (folded.shortcut == Shortcut::Kind::projection) {
      folded.projection = fold(*block->shortcut->convolution, *block->shortcut->batch_norm);
    }
    blocks_.push_back(std::move(folded));
  }
  const at::ScalarType head = dtype == at::kDouble ? at::kDouble : at::kFloat;
  // The temperature divides the features before fc; dividing the weight is the same linear map.
  fc_weight_ = (network.fc_weight().detach().to(at::kDouble) / architecture_.temperature).to(head);
  fc_bias_ = network.fc_bias().detach().to(head, /*non_blocking=*/false, /*copy=*/true);
  nbytes_ += static_cast<int64_t>(fc_weight_.nbytes() + fc_bias_.nbytes());
}

FrozenConvolution FoldedNetwork::fold(Convolution& convolution, const BatchNorm& batch_norm) {
  const auto [scale, shift] = batch_norm.affine();
  const at::Tensor weight = (convolution.effective_weight().to(at::kDouble) * scale.view({-1, 1, 1, 1})).to(dtype_);
  nbytes_ += static_cast<int64_t>(weight.nbytes());
  return {weight, shift.to(dtype_), convolution.stride(), convolution.padding()};
}

at::Tensor FoldedNetwork::shortcut_of(const ResidualBlock& block, const at::Tensor& x, int64_t channels) const {
  switch (block.shortcut) {
    case Shortcut::Kind::identity:
      return x;
    case Shortcut::Kind::projection:
      return block.projection->forward(x, Activation::none);
    case Shortcut::Kind::avg_pool:
      break;
  }
  const at::Tensor pooled = shortcut_pool(x, block.stride);
  return at::constant_pad_nd(pooled, {0, 0, 0, 0, 0, channels - pooled.size(1)})
      .contiguous(at::MemoryFormat::ChannelsLast);
}

NetworkOutput FoldedNetwork::forward(const at::Tensor& x, const WantedOutputs& wanted, const Poll& poll) const {
  const at::NoGradGuard no_grad;
  const Activation activation = architecture_.activation();
  at::Tensor out = stem_pool(stem_->forward(x.to(dtype_).contiguous(at::MemoryFormat::ChannelsLast), activation),
                             architecture_.stem);
  for (const ResidualBlock& block : blocks_) {
    poll();
    // The block's input is nobody else's by now, so that its memory may take the sum.
    const at::Tensor residual = shortcut_of(block, out, block.layers.back().out_channels());
    at::Tensor inner = out;
    for (size_t i = 0; i + 1 < block.layers.size(); ++i) inner = block.layers[i].forward(inner, activation);
    out = block.layers.back().forward_and_add(inner, residual, activation);
  }
  const at::Tensor pooled = out.mean({2, 3}, /*keepdim=*/false, fc_weight_.scalar_type());
  NetworkOutput output;
  if (wanted.raw_features) output.raw_features = pooled;
  if (!wanted.features && !wanted.logits) return output;
  const at::Tensor features = architecture_.l2_normalize ? l2_normalised(pooled) : pooled;
  if (wanted.features) output.features = features;
  if (wanted.logits) output.logits = at::linear(features, fc_weight_, fc_bias_);
  return output;
}

}  // namespace ood
