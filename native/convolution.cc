// Convolutions by the fastest kernels that libtorch has for the processor at hand.
#include "convolution.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string_view>
#include <vector>

namespace ood {

namespace {

using Scalars = c10::List<std::optional<at::Scalar>>;
using ConvolutionPointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                                        at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t, std::string_view,
                                        Scalars, std::optional<std::string_view>);
using ConvolutionBinary = at::Tensor&(at::Tensor&, const at::Tensor&, const at::Tensor&,
                                      const std::optional<at::Tensor>&, at::IntArrayRef, at::IntArrayRef,
                                      at::IntArrayRef, int64_t, std::string_view, std::optional<at::Scalar>,
                                      std::optional<std::string_view>, Scalars, std::optional<std::string_view>);
using ReorderWeight = at::Tensor(const at::Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t,
                                 at::OptionalIntArrayRef);

// oneDNN's convolutions with fused epilogues, registered as operators by libtorch's CPU build on x86; absent elsewhere.
struct FusedOperators {
  std::optional<c10::TypedOperatorHandle<ConvolutionPointwise>> convolution;
  std::optional<c10::TypedOperatorHandle<ConvolutionBinary>> convolution_add;
  std::optional<c10::TypedOperatorHandle<ReorderWeight>> reorder;
  bool bfloat16 = false;  // whether there are kernels for this processor

  FusedOperators() {
    auto& dispatcher = c10::Dispatcher::singleton();
    const auto pointwise = dispatcher.findSchema({"mkldnn::_convolution_pointwise", ""});
    const auto binary = dispatcher.findSchema({"mkldnn::_convolution_pointwise_", "binary"});
    const auto reorder_weight = dispatcher.findSchema({"mkldnn::_reorder_convolution_weight", ""});
    if (!at::hasMKLDNN() || !pointwise || !binary || !reorder_weight) return;
    try {
      convolution = pointwise->typed<ConvolutionPointwise>();
      convolution_add = binary->typed<ConvolutionBinary>();
      reorder = reorder_weight->typed<ReorderWeight>();
    } catch (const c10::Error&) {  // another libtorch, another signature: do without
      convolution.reset();
      return;
    }
    try {
      reorder->call(at::zeros({16, 16, 1, 1}, at::kBFloat16), {0, 0}, {1, 1}, {1, 1}, 1, at::OptionalIntArrayRef{});
      bfloat16 = true;
    } catch (const c10::Error&) {  // it refuses where it has none
    }
  }
  bool available() const { return convolution.has_value(); }
};

const FusedOperators& fused_operators() {
  static const FusedOperators operators;
  return operators;
}

// The dtype in which numbers of `dtype` are multiplied on a device.
at::ScalarType computed_as(at::ScalarType dtype, at::Device device) {
  return dtype == at::kBFloat16 && device.is_cpu() && !fused_operators().bfloat16 ? at::kFloat : dtype;
}

std::string_view name_of(Activation activation) {
  return activation == Activation::none ? "none" : activation == Activation::relu ? "relu" : "leaky_relu";
}

Scalars scalars_of(Activation activation) {
  Scalars scalars;
  if (activation == Activation::leaky_relu) scalars.push_back(at::Scalar(leaky_slope));
  return scalars;
}

// Every `stride`th row and column.
at::Tensor subsampled(const at::Tensor& x, int64_t stride) {
  return x.slice(2, 0, std::nullopt, stride)
      .slice(3, 0, std::nullopt, stride)
      .contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace

at::Tensor activate_(at::Tensor x, Activation activation) {
  if (activation == Activation::none) return x;
  return activation == Activation::relu ? at::relu_(x) : at::leaky_relu_(x, leaky_slope);
}

at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding) {
  const at::ScalarType computed = computed_as(x.scalar_type(), x.device());
  const at::Tensor input = x.to(computed), kernel = weight.to(computed);
  // oneDNN's gradient for the weight of a strided 1 x 1 convolution of fewer than 8 channels is wrong on AVX2, and
  // writes beyond its memory (libtorch 2.13).
  const bool faulty = x.is_cpu() && stride > 1 && weight.size(2) == 1 && weight.size(1) < 8;
  const at::Tensor out =
      faulty ? at::conv2d(subsampled(input, stride), kernel) : at::conv2d(input, kernel, {}, stride, padding);
  return out.to(x.scalar_type());
}

FrozenConvolution::FrozenConvolution(const at::Tensor& weight, const at::Tensor& bias, int64_t stride, int64_t padding)
    : dtype_(weight.scalar_type()),
      computed_(computed_as(dtype_, weight.device())),
      fused_(weight.is_cpu() && dtype_ != at::kDouble && fused_operators().available()),
      weight_(weight.to(computed_).contiguous(at::MemoryFormat::ChannelsLast)),
      bias_(bias.to(computed_)),
      stride_(stride),
      padding_(padding) {}

// The best layout depends on the size of the images, and on whether there is one or several; in another one oneDNN
// rearranges the weight at each call, which for 4 x 4 images of 512 channels took 97 ms where the rest took 0.4.
const at::Tensor& FrozenConvolution::prepared_for(const at::Tensor& x) const {
  at::Tensor& prepared = prepared_[x.size(0) == 1 ? 0 : 1];
  if (!prepared.defined()) {
    const std::vector<int64_t> pad(2, padding_), step(2, stride_), sizes = x.sizes().vec();
    prepared = fused_operators().reorder->call(weight_, pad, step, {1, 1}, 1, sizes);
  }
  return prepared;
}

at::Tensor FrozenConvolution::forward(const at::Tensor& x, Activation activation) const {
  const at::Tensor input = x.to(computed_);
  if (!fused_) return activate_(at::conv2d(input, weight_, bias_, stride_, padding_), activation).to(dtype_);
  return fused_operators()
      .convolution
      ->call(input, prepared_for(input), bias_, {padding_, padding_}, {stride_, stride_}, {1, 1}, 1,
             name_of(activation), scalars_of(activation), std::nullopt)
      .to(dtype_);
}

at::Tensor FrozenConvolution::forward_and_add(const at::Tensor& x, const at::Tensor& residual,
                                              Activation activation) const {
  const at::Tensor input = x.to(computed_);
  if (!fused_)
    return activate_(at::conv2d(input, weight_, bias_, stride_, padding_).add_(residual), activation).to(dtype_);
  // The fused sum has ReLU only as its epilogue; a leaky one follows in place.
  at::Tensor sum = residual.to(computed_);
  const bool relu = activation == Activation::relu;
  fused_operators().convolution_add->call(
      sum, input, prepared_for(input), bias_, {padding_, padding_}, {stride_, stride_}, {1, 1}, 1, "add",
      at::Scalar(1.0), relu ? std::optional<std::string_view>("relu") : std::nullopt, Scalars(), std::nullopt);
  return (relu ? sum : activate_(sum, activation)).to(dtype_);
}

}  // namespace ood
