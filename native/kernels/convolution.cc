// Convolutions by the fastest kernels for the processor at hand.
#include "kernels/convolution.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "core/parallel.h"
#include "kernels/winograd.h"

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

// For fewer tiles of 2 x 2 outputs than this, reading the weight, 16 numbers in place of 9, is most of the work.
constexpr int64_t least_tiles = 64;

// With AVX-512 oneDNN's direct convolutions are as fast. ATEN_CPU_CAPABILITY, the variable that chooses libtorch's own
// kernels, chooses here too.
bool has_filters(c10::Device device) {
  static const bool best = winograd::available() && at::get_cpu_capability() == "AVX2";
  return best && device.is_cpu();
}

// Whether winograd.h serves the convolution of float32 x [N, C, H, W] with weight [out, in, k, k], and its gradient.
bool is_filtered(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding) {
  return x.scalar_type() == at::kFloat && stride == 1 && padding == 1 && weight.size(2) == 3 && weight.size(3) == 3 &&
         weight.size(0) % winograd::channel_unit == 0 && weight.size(1) % winograd::channel_unit == 0 &&
         x.size(1) == weight.size(1) && has_filters(x.device()) &&
         x.size(0) * ((x.size(2) + 1) / 2) * ((x.size(3) + 1) / 2) >= least_tiles;
}

// The weight [out, in, 3, 3] for filtered(), or for the gradient of its input.
at::Tensor transformed_weight(const at::Tensor& weight, bool for_input_gradient) {
  // There each output is an input, and kernels are turned by half a turn.
  const int64_t out = weight.size(for_input_gradient ? 1 : 0), in = weight.size(for_input_gradient ? 0 : 1);
  const int64_t down = weight.stride(2), across = weight.stride(3);
  const float* data = weight.const_data_ptr<float>();
  int64_t strides[4] = {weight.stride(0), weight.stride(1), down, across};
  if (for_input_gradient) {
    data += 2 * down + 2 * across;
    const int64_t turned[4] = {weight.stride(1), weight.stride(0), -down, -across};
    std::copy_n(turned, 4, strides);
  }
  const at::Tensor packed = at::empty({winograd::weight_size(in, out)}, weight.options());
  float* const to = packed.mutable_data_ptr<float>();
  in_parallel(winograd::weight_pieces(in, out),
              [&](int64_t piece) { winograd::transform_weight(data, strides, in, out, piece, to); });
  return packed;
}

// The convolution of x with a transformed weight, what the epilogue says added.
at::Tensor filtered_by(const at::Tensor& x, const at::Tensor& transformed, int64_t out_channels,
                       const winograd::Epilogue& epilogue) {
  const at::Tensor input = x.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor output = at::empty({x.size(0), out_channels, x.size(2), x.size(3)},
                                      x.options().memory_format(at::MemoryFormat::ChannelsLast));
  const winograd::Shape shape{x.size(2), x.size(3), x.size(1), out_channels};
  const int64_t tiles = x.size(0) * shape.tiles();
  // Blocks of one size, and one for every thread, so that threads end together.
  const int64_t least_blocks = std::min<int64_t>(at::get_num_threads(), (tiles + 3) / 4);
  const int64_t blocks = std::max(least_blocks, (tiles + winograd::block_tiles - 1) / winograd::block_tiles);
  const int64_t block = std::min(winograd::block_tiles, ((tiles + blocks - 1) / blocks + 3) / 4 * 4);
  const float* const from = input.const_data_ptr<float>();
  const float* const weight = transformed.const_data_ptr<float>();
  float* const to = output.mutable_data_ptr<float>();
  in_parallel((tiles + block - 1) / block, [&](int64_t i) {
    const at::Tensor workspace = at::empty({winograd::workspace_size(out_channels)}, x.options());
    winograd::convolve(shape, from, weight, epilogue, i * block, std::min(block, tiles - i * block),
                       workspace.mutable_data_ptr<float>(), to);
  });
  return output;
}

// The gradient of the weight [out, in, 3, 3] for inputs x and the gradient of the outputs.
at::Tensor filtered_weight_gradient(const at::Tensor& x, const at::Tensor& gradient) {
  const at::Tensor input = x.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor of_output = gradient.contiguous(at::MemoryFormat::ChannelsLast);
  const winograd::Shape shape{x.size(2), x.size(3), x.size(1), gradient.size(1)};
  const at::Tensor result =
      at::empty({shape.out, shape.in, 3, 3}, x.options().memory_format(at::MemoryFormat::ChannelsLast));
  const at::Tensor products = at::zeros({winograd::points * shape.out * shape.in}, x.options());
  // Several parts at a time where channels are few, for one loop over threads.
  const int64_t parts = std::clamp<int64_t>(1024 / (shape.in + shape.out), 1, 8);
  const int64_t outputs_size = winograd::outputs_size(shape.out), inputs_size = winograd::inputs_size(shape.in);
  const at::Tensor workspace = at::empty({parts * (outputs_size + inputs_size)}, x.options());
  float* const outputs = workspace.mutable_data_ptr<float>();
  float* const inputs = outputs + parts * outputs_size;
  float* const sums = products.mutable_data_ptr<float>();
  const float *const from_input = input.const_data_ptr<float>(), *const from_output = of_output.const_data_ptr<float>();
  const int64_t tiles = x.size(0) * shape.tiles();
  constexpr int64_t piece = 32;     // tiles
  constexpr int64_t channels = 64;  // of the output
  const int64_t pieces = winograd::gradient_tiles / piece, blocks = (shape.out + channels - 1) / channels;
  for (int64_t start = 0; start < tiles; start += parts * winograd::gradient_tiles) {
    const auto first_of = [&](int64_t part) { return start + part * winograd::gradient_tiles; };
    const auto count_of = [&](int64_t part) {
      return std::clamp<int64_t>(tiles - first_of(part), 0, winograd::gradient_tiles);
    };
    in_parallel(parts * pieces, [&](int64_t i) {
      const int64_t part = i / pieces, count = count_of(part), begin = i % pieces * piece;
      const int64_t end = std::min(begin + piece, count);
      winograd::transform_output_gradients(shape, from_output, first_of(part), count, begin, end,
                                           outputs + part * outputs_size);
      winograd::transform_gradient_inputs(shape, from_input, first_of(part), count, begin, end,
                                          inputs + part * inputs_size);
    });
    in_parallel(winograd::points * blocks, [&](int64_t i) {
      const int64_t first = i % blocks * channels, last = std::min(first + channels, shape.out);
      for (int64_t part = 0; part < parts && count_of(part) > 0; ++part) {
        winograd::add_weight_products(shape, outputs + part * outputs_size, inputs + part * inputs_size, count_of(part),
                                      i / blocks, first, last, sums);
      }
    });
  }
  float* const to = result.mutable_data_ptr<float>();
  in_parallel_ranges(shape.out, 16, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) winograd::weight_gradient(shape, sums, k, to + k * 9 * shape.in);
  });
  return result;
}

// The same in training, where the gradient of the input is such a convolution too.
struct FilteredConvolution : torch::autograd::Function<FilteredConvolution> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight) {
    context->save_for_backward({x, weight});
    return filtered_by(x, transformed_weight(weight, false), weight.size(0), {});
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &gradient = gradients[0];
    at::Tensor of_x, of_weight;
    if (context->needs_input_grad(0))
      of_x = filtered_by(gradient, transformed_weight(weight, true), weight.size(1), {});
    if (context->needs_input_grad(1)) of_weight = filtered_weight_gradient(x, gradient);
    return {of_x, of_weight};
  }
};

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
  if (is_filtered(input, kernel, stride, padding)) return FilteredConvolution::apply(input, kernel).to(x.scalar_type());
  const at::Tensor out =
      faulty ? at::conv2d(subsampled(input, stride), kernel) : at::conv2d(input, kernel, {}, stride, padding);
  return out.to(x.scalar_type());
}

FrozenConvolution::FrozenConvolution(const at::Tensor& weight, const at::Tensor& bias, int64_t stride, int64_t padding)
    : dtype_(weight.scalar_type()),
      computed_(computed_as(dtype_, weight.device())),
      fused_(weight.is_cpu() && dtype_ != at::kDouble && fused_operators().available()),
      weight_(weight.to(computed_).contiguous(at::MemoryFormat::ChannelsLast)),
      bias_(bias.to(computed_).contiguous()),
      stride_(stride),
      padding_(padding) {}

// The best layout depends on the size of the images, and on whether there is one or several; in another one oneDNN
// rearranges the weight at each call, which for 4 x 4 images of 512 channels took 97 ms where the rest took 0.4.
const at::Tensor& FrozenConvolution::prepared_for(const at::Tensor& x) const {
  Prepared& prepared = prepared_[x.size(0) == 1 ? 0 : 1];
  if (!prepared.weight.defined() || prepared.height != x.size(2) || prepared.width != x.size(3)) {
    const std::vector<int64_t> pad(2, padding_), step(2, stride_), sizes = x.sizes().vec();
    prepared = {fused_operators().reorder->call(weight_, pad, step, {1, 1}, 1, sizes), x.size(2), x.size(3)};
  }
  return prepared.weight;
}

at::Tensor FrozenConvolution::filtered(const at::Tensor& x, const at::Tensor& residual, Activation activation) const {
  if (!transformed_.defined()) transformed_ = transformed_weight(weight_, false);
  winograd::Epilogue epilogue{bias_.const_data_ptr<float>(), nullptr, 1};
  at::Tensor added;
  if (residual.defined()) {
    added = residual.to(at::kFloat).contiguous(at::MemoryFormat::ChannelsLast);
    epilogue.residual = added.const_data_ptr<float>();
  }
  if (activation != Activation::none)
    epilogue.slope = activation == Activation::relu ? 0 : static_cast<float>(leaky_slope);
  return filtered_by(x, transformed_, out_channels(), epilogue);
}

at::Tensor FrozenConvolution::forward(const at::Tensor& x, Activation activation) const {
  const at::Tensor input = x.to(computed_);
  if (is_filtered(input, weight_, stride_, padding_)) return filtered(input, {}, activation).to(dtype_);
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
  if (is_filtered(input, weight_, stride_, padding_)) return filtered(input, residual, activation).to(dtype_);
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
