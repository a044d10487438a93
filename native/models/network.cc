// The ResNet.
#include "models/network.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

#include "core/errors.h"

namespace ood {

namespace {

constexpr double batch_norm_epsilon = 1e-5;
constexpr double batch_norm_momentum = 0.1;

at::Tensor uniform(at::IntArrayRef shape, double bound, const Initialiser& initialiser) {
  return at::empty(shape, initialiser.options()).uniform_(-bound, bound, initialiser.generator);
}

bool has_bottlenecks(const Architecture& architecture) { return architecture.depth >= 50; }

int64_t expansion(const Architecture& architecture) { return has_bottlenecks(architecture) ? 4 : 1; }

// Blocks of each of the four layers (He et al. 2016, table 1).
std::vector<int64_t> block_counts(int64_t depth) {
  switch (depth) {
    case 18:
      return {2, 2, 2, 2};
    case 34:
    case 50:
      return {3, 4, 6, 3};
    case 101:
      return {3, 4, 23, 3};
    case 152:
      return {3, 8, 36, 3};
    default:
      fail("ERR_OPTION", "depth: expected 18, 34, 50, 101 or 152, found ", depth);
  }
}

bool is_normalised(const Architecture& architecture) { return architecture.spectral_norm_coefficient > 0; }

}  // namespace

at::Tensor l2_normalised(const at::Tensor& features) {
  // In float64: squares of float32 features overflow from 2e19 on, and a length of infinity makes zeros of finite ones.
  const at::Tensor wide = features.to(at::kDouble);
  return (wide / wide.norm(2, {1}, /*keepdim=*/true).clamp_min(l2_epsilon)).to(features.scalar_type());
}

at::Tensor shortcut_pool(const at::Tensor& x, int64_t stride) {
  if (stride == 1) return x;
  const auto kernel = [&](int64_t side) { return side % 2 != 0 ? 1 : stride; };
  return at::avg_pool2d(x, {kernel(x.size(2)), kernel(x.size(3))}, stride);
}

at::Tensor stem_pool(const at::Tensor& x, Stem stem) {
  return stem == Stem::imagenet ? at::max_pool2d(x, /*kernel_size=*/3, /*stride=*/2, /*padding=*/1) : x;
}

Convolution::Convolution(const Architecture& architecture, int64_t in, int64_t out, int64_t kernel, int64_t stride,
                         int64_t input_size, Initialiser& initialiser)
    : kernel_(kernel), stride_(stride), normalised_(is_normalised(architecture)) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(in * kernel * kernel));
  weight_ = register_parameter(normalised_ ? "weight_orig" : "weight",
                               uniform({out, in, kernel, kernel}, bound, initialiser));
  if (normalised_) {
    spectral_norm_.coefficient = architecture.spectral_norm_coefficient;
    spectral_norm_.power_iterations = architecture.power_iterations;
    spectral_norm_.stride = stride;
    spectral_norm_.input_size = input_size;
    const at::NoGradGuard no_grad;
    spectral_norm_.initialise(weight_.detach(), initialiser.generator);
    register_buffer("weight_u", spectral_norm_.u);
    register_buffer("weight_v", spectral_norm_.v);
    register_buffer("weight_sigma", spectral_norm_.sigma);
  }
}

void Convolution::warm_up() {
  if (normalised_) spectral_norm_.iterate(weight_.detach(), 1);
}

at::Tensor Convolution::forward(const at::Tensor& x) {
  at::Tensor weight = weight_;
  if (normalised_) {
    if (is_training()) spectral_norm_.iterate(weight.detach(), spectral_norm_.power_iterations);
    const at::Tensor sigma = spectral_norm_.estimate(weight);
    spectral_norm_.sigma.copy_(sigma.detach().view({1}));
    weight = spectral_norm_.scaled(weight, sigma);
  }
  return convolve(x, weight.to(x.scalar_type()), stride_, padding());
}

at::Tensor Convolution::effective_weight() {
  const at::NoGradGuard no_grad;
  const at::Tensor weight = weight_.detach();
  return normalised_ ? spectral_norm_.scaled(weight, spectral_norm_.estimate(weight)) : weight;
}

BatchNorm::BatchNorm(int64_t channels, const Initialiser& initialiser)
    : weight_(register_parameter("weight", at::ones({channels}, initialiser.options()))),
      bias_(register_parameter("bias", at::zeros({channels}, initialiser.options()))),
      running_mean_(register_buffer("running_mean", at::zeros({channels}, initialiser.options()))),
      running_var_(register_buffer("running_var", at::ones({channels}, initialiser.options()))),
      batches_(register_buffer("num_batches_tracked", at::zeros({}, initialiser.options().dtype(at::kLong)))) {}

at::Tensor BatchNorm::forward(const at::Tensor& x) {
  if (is_training()) batches_.add_(1);
  return at::batch_norm(x, weight_, bias_, running_mean_, running_var_, is_training(), batch_norm_momentum,
                        batch_norm_epsilon,
                        /*cudnn_enabled=*/true);
}

std::pair<at::Tensor, at::Tensor> BatchNorm::affine() const {
  const at::Tensor scale =
      weight_.detach().to(at::kDouble) / (running_var_.to(at::kDouble) + batch_norm_epsilon).sqrt();
  return {scale, bias_.detach().to(at::kDouble) - running_mean_.to(at::kDouble) * scale};
}

Shortcut::Shortcut(const Architecture& architecture, int64_t in, int64_t out, int64_t stride, int64_t input_size,
                   Initialiser& initialiser)
    : kind_(stride == 1 && in == out         ? Kind::identity
            : architecture.avg_pool_shortcut ? Kind::avg_pool
                                             : Kind::projection),
      stride_(stride) {
  if (kind_ != Kind::projection) return;
  convolution =
      register_module("0", std::make_shared<Convolution>(architecture, in, out, 1, stride, input_size, initialiser));
  batch_norm = register_module("1", std::make_shared<BatchNorm>(out, initialiser));
}

at::Tensor Shortcut::add_to(at::Tensor out, const at::Tensor& x) {
  switch (kind_) {
    case Kind::identity:
      return out.add_(x);
    case Kind::projection:
      return out.add_(batch_norm->forward(convolution->forward(x)));
    case Kind::avg_pool:
      break;
  }
  const at::Tensor pooled = shortcut_pool(x, stride_);
  return out.add_(at::constant_pad_nd(pooled, {0, 0, 0, 0, 0, out.size(1) - pooled.size(1)}));
}

Block::Block(const Architecture& architecture, int64_t in, int64_t planes, int64_t stride, int64_t input_size,
             Initialiser& initialiser)
    : activation_(architecture.activation()) {
  const int64_t output_size = (input_size + stride - 1) / stride;
  const auto add = [&](int64_t from, int64_t to, int64_t kernel, int64_t step, int64_t size) {
    const std::string index = std::to_string(convolutions.size() + 1);
    convolutions.push_back(register_module(
        "conv" + index, std::make_shared<Convolution>(architecture, from, to, kernel, step, size, initialiser)));
    batch_norms.push_back(register_module("bn" + index, std::make_shared<BatchNorm>(to, initialiser)));
  };
  const int64_t out = planes * expansion(architecture);
  if (!has_bottlenecks(architecture)) {
    add(in, planes, 3, stride, input_size);
    add(planes, planes, 3, 1, output_size);
  } else {
    add(in, planes, 1, 1, input_size);
    add(planes, planes, 3, stride, input_size);
    add(planes, out, 1, 1, output_size);
  }
  shortcut =
      register_module("shortcut", std::make_shared<Shortcut>(architecture, in, out, stride, input_size, initialiser));
}

at::Tensor Block::forward(const at::Tensor& x) {
  at::Tensor out = x;
  for (size_t i = 0; i < convolutions.size(); ++i) {
    out = batch_norms[i]->forward(convolutions[i]->forward(out));
    // In place: batch norm's backward needs its input, not its output.
    if (i + 1 < convolutions.size()) out = activate_(out, activation_);
  }
  return activate_(shortcut->add_to(out, x), activation_);
}

Network::Network(const Architecture& architecture, uint64_t seed, at::Device device) : architecture_(architecture) {
  Initialiser initialiser{at::detail::createCPUGenerator(seed), device};
  const auto planes_of = [&](int64_t base) {
    return std::max<int64_t>(1, static_cast<int64_t>(std::llround(static_cast<double>(base) * architecture.width)));
  };
  const std::vector<int64_t> counts = block_counts(architecture.depth);
  const int64_t grow = expansion(architecture);
  const int64_t last_planes = architecture.feature_dim > 0 ? architecture.feature_dim / grow : planes_of(512);
  if (architecture.feature_dim > 0 && last_planes * grow != architecture.feature_dim) {
    fail("ERR_OPTION", "featureDim: expected a multiple of ", grow, " for ResNet", architecture.depth, ", found ",
         architecture.feature_dim);
  }

  int64_t size = architecture.image_size;
  int64_t channels = planes_of(64);
  const bool large = architecture.stem == Stem::imagenet;
  stem_convolution =
      register_module("conv1", std::make_shared<Convolution>(architecture, architecture.in_channels, channels,
                                                             large ? 7 : 3, large ? 2 : 1, size, initialiser));
  stem_batch_norm = register_module("bn1", std::make_shared<BatchNorm>(channels, initialiser));
  if (large) size = (size + 3) / 4;  // the convolution's ⌈size / 2⌉, and again the pool's
  for (size_t layer = 0; layer < counts.size(); ++layer) {
    const int64_t planes = layer == 3 ? last_planes : planes_of(int64_t{64} << layer);
    auto sequence = register_module("layer" + std::to_string(layer + 1), std::make_shared<torch::nn::Module>());
    for (int64_t index = 0; index < counts[layer]; ++index) {
      const int64_t stride = layer > 0 && index == 0 ? 2 : 1;
      blocks.push_back(sequence->register_module(
          std::to_string(index), std::make_shared<Block>(architecture, channels, planes, stride, size, initialiser)));
      channels = planes * grow;
      size = (size + stride - 1) / stride;
    }
  }
  feature_dim_ = channels;
  const double bound = 1.0 / std::sqrt(static_cast<double>(feature_dim_));
  auto fc = register_module("fc", std::make_shared<torch::nn::Module>());
  fc_weight_ = fc->register_parameter("weight", uniform({architecture.num_classes, feature_dim_}, bound, initialiser));
  fc_bias_ = fc->register_parameter("bias", uniform({architecture.num_classes}, bound, initialiser));
}

void Network::warm_up(const Poll& poll) {
  apply([&](torch::nn::Module& module) {
    poll();
    if (auto* convolution = dynamic_cast<Convolution*>(&module)) convolution->warm_up();
  });
}

NetworkOutput Network::forward(const at::Tensor& x, at::ScalarType compute_dtype, const Poll& poll) {
  if (is_training()) mark_changed();
  at::Tensor out =
      activate_(stem_batch_norm->forward(stem_convolution->forward(x.to(compute_dtype))), architecture_.activation());
  out = stem_pool(out, architecture_.stem);
  for (const auto& block : blocks) {
    poll();
    if (out.requires_grad()) out.register_hook([poll](const at::Tensor&) { poll(); });
    out = block->forward(out);
  }
  NetworkOutput output;
  output.raw_features = out.mean({2, 3}, /*keepdim=*/false, dtype());
  output.features = architecture_.l2_normalize ? l2_normalised(output.raw_features) : output.raw_features;
  const at::Tensor scaled =
      architecture_.temperature == 1.0 ? output.features : output.features / architecture_.temperature;
  output.logits = at::linear(scaled, fc_weight_, fc_bias_);
  return output;
}

void Network::move_to(at::Device device, at::ScalarType dtype) {
  mark_changed();
  for (const auto& [name, tensor] : state()) {
    const at::ScalarType type = tensor.is_floating_point() ? dtype : tensor.scalar_type();
    const at::MemoryFormat format = tensor.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
    tensor.set_data(
        tensor.detach().to(device, type, /*non_blocking=*/false, /*copy=*/false, format).contiguous(format));
  }
}

NamedTensors Network::trainable() const {
  NamedTensors tensors;
  for (const auto& item : named_parameters()) tensors.emplace_back(item.key(), item.value());
  return tensors;
}

NamedTensors Network::state() const {
  NamedTensors tensors = trainable();
  for (const auto& item : named_buffers()) tensors.emplace_back(item.key(), item.value());
  return tensors;
}

NamedTensors described_state(const Architecture& architecture) {
  return Network(architecture, /*seed=*/0, at::kMeta).state();
}

}  // namespace ood
