// A frozen, folded copy of a network for inference.
#include "folded_network.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <string>

namespace ood {

namespace {

using Scalars = c10::List<std::optional<at::Scalar>>;
using ConvolutionPointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, at::IntArrayRef,
                                        at::IntArrayRef, at::IntArrayRef, int64_t, std::string_view, Scalars,
                                        std::optional<std::string_view>);
using ConvolutionBinary = at::Tensor&(at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, at::IntArrayRef,
                                      at::IntArrayRef, at::IntArrayRef, int64_t, std::string_view, std::optional<at::Scalar>,
                                      std::optional<std::string_view>, Scalars, std::optional<std::string_view>);
using ReorderWeight = at::Tensor(const at::Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t, at::OptionalIntArrayRef);

// oneDNN's convolutions with fused epilogues, registered as operators by libtorch's CPU build on x86; absent elsewhere.
struct FusedOperators {
  std::optional<c10::TypedOperatorHandle<ConvolutionPointwise>> convolution;
  std::optional<c10::TypedOperatorHandle<ConvolutionBinary>> convolution_add;
  std::optional<c10::TypedOperatorHandle<ReorderWeight>> reorder;

  FusedOperators() {
    auto& dispatcher = c10::Dispatcher::singleton();
    const auto pointwise = dispatcher.findSchema({"mkldnn::_convolution_pointwise", ""});
    const auto binary = dispatcher.findSchema({"mkldnn::_convolution_pointwise_", "binary"});
    const auto reorder_weight = dispatcher.findSchema({"mkldnn::_reorder_convolution_weight", ""});
    if (!pointwise || !binary || !reorder_weight) return;
    try {
      convolution = pointwise->typed<ConvolutionPointwise>();
      convolution_add = binary->typed<ConvolutionBinary>();
      reorder = reorder_weight->typed<ReorderWeight>();
    } catch (const c10::Error&) {  // another libtorch, another signature: do without
      convolution.reset();
    }
  }
  bool available() const { return convolution && convolution_add && reorder; }
};

const FusedOperators& fused_operators() {
  static const FusedOperators operators;
  return operators;
}

Scalars activation_scalars(bool leaky) {
  Scalars scalars;
  if (leaky) scalars.push_back(at::Scalar(leaky_slope));
  return scalars;
}

}  // namespace

FoldedNetwork::FoldedNetwork(const Network& network, at::ScalarType dtype)
    : architecture_(network.architecture()),
      dtype_(dtype),
      fused_(network.device().is_cpu() && dtype != at::kDouble && at::hasMKLDNN() && fused_operators().available()) {
  const at::NoGradGuard no_grad;
  stem_ = fold(*network.stem_convolution, *network.stem_batch_norm);
  for (const auto& block : network.blocks) {
    ResidualBlock folded{{}, block->shortcut->kind(), block->shortcut->stride(), {}};
    for (size_t i = 0; i < block->convolutions.size(); ++i) folded.layers.push_back(fold(*block->convolutions[i], *block->batch_norms[i]));
    if (folded.shortcut == Shortcut::Kind::projection) {
      folded.projection = fold(*block->shortcut->convolution, *block->shortcut->batch_norm);
    }
    blocks_.push_back(std::move(folded));
  }
  const at::ScalarType head = dtype == at::kDouble ? at::kDouble : at::kFloat;
  // The temperature divides the features before fc; dividing the weight is the same linear map.
  fc_weight_ = (network.fc_weight().detach().to(at::kDouble) / architecture_.temperature).to(head);
  fc_bias_ = network.fc_bias().detach().to(head, /*non_blocking=*/false, /*copy=*/true);
}

FoldedNetwork::Layer FoldedNetwork::fold(Convolution& convolution, const BatchNorm& batch_norm) const {
  const auto [scale, shift] = batch_norm.affine();
  at::Tensor weight = (convolution.effective_weight().to(at::kDouble) * scale.view({-1, 1, 1, 1})).to(dtype_);
  weight = weight.contiguous(at::MemoryFormat::ChannelsLast);
  Layer layer{weight, shift.to(dtype_), convolution.stride(), convolution.padding()};
  if (fused_) {
    layer.weight = fused_operators().reorder->call(weight, {layer.padding, layer.padding}, {layer.stride, layer.stride}, {1, 1}, 1,
                                                   at::OptionalIntArrayRef{});
  }
  return layer;
}

at::Tensor FoldedNetwork::convolve(const Layer& layer, const at::Tensor& x, bool activate) const {
  if (!fused_) {
    at::Tensor out = at::conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding);
    return activate ? activation_(out, architecture_.leaky_relu) : out;
  }
  const bool leaky = architecture_.leaky_relu;
  return fused_operators().convolution->call(x, layer.weight, layer.bias, {layer.padding, layer.padding}, {layer.stride, layer.stride},
                                             {1, 1}, 1, activate ? (leaky ? "leaky_relu" : "relu") : "none",
                                             activate ? activation_scalars(leaky) : Scalars(), std::nullopt);
}

at::Tensor FoldedNetwork::convolve_and_add(const Layer& layer, const at::Tensor& x, at::Tensor residual) const {
  if (!fused_) {
    return activation_(at::conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding).add_(residual), architecture_.leaky_relu);
  }
  // The fused sum has ReLU only as its epilogue; a leaky one follows in place.
  const bool leaky = architecture_.leaky_relu;
  fused_operators().convolution_add->call(residual, x, layer.weight, layer.bias, {layer.padding, layer.padding},
                                          {layer.stride, layer.stride}, {1, 1}, 1, "add", at::Scalar(1.0),
                                          leaky ? std::optional<std::string_view>() : std::optional<std::string_view>("relu"), Scalars(),
                                          std::nullopt);
  return leaky ? activation_(residual, true) : residual;
}

at::Tensor FoldedNetwork::shortcut_of(const ResidualBlock& block, const at::Tensor& x, int64_t channels) const {
  switch (block.shortcut) {
    case Shortcut::Kind::identity:
      return x;
    case Shortcut::Kind::projection:
      return convolve(*block.projection, x, /*activate=*/false);
    case Shortcut::Kind::avg_pool:
      break;
  }
  const at::Tensor pooled = shortcut_pool(x, block.stride);
  return at::constant_pad_nd(pooled, {0, 0, 0, 0, 0, channels - pooled.size(1)}).contiguous(at::MemoryFormat::ChannelsLast);
}

NetworkOutput FoldedNetwork::forward(const at::Tensor& x, const Poll& poll) const {
  const at::NoGradGuard no_grad;
  at::Tensor out = convolve(*stem_, x.to(dtype_).contiguous(at::MemoryFormat::ChannelsLast), true);
  for (const ResidualBlock& block : blocks_) {
    poll();
    // The block's input is nobody else's by now, so that its memory may take the sum.
    const at::Tensor residual = shortcut_of(block, out, block.layers.back().bias.size(0));
    at::Tensor inner = out;
    for (size_t i = 0; i + 1 < block.layers.size(); ++i) inner = convolve(block.layers[i], inner, true);
    out = convolve_and_add(block.layers.back(), inner, residual);
  }
  NetworkOutput output;
  output.raw_features = out.mean({2, 3}, /*keepdim=*/false, fc_weight_.scalar_type());
  output.features = architecture_.l2_normalize ? l2_normalised(output.raw_features) : output.raw_features;
  output.logits = at::linear(output.features, fc_weight_, fc_bias_);
  return output;
}

}  // namespace ood
