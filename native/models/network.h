// The ResNet (METHOD.md section 1): ResNet18 to ResNet152 with the stem of CIFAR or of ImageNet, whose every departure
// from the standard one is a switch. Parameters and buffers carry the names of DDU's PyTorch code, so that weights go
// both ways.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/named_tensors.h"
#include "core/poll.h"
#include "kernels/convolution.h"
#include "models/inference_model.h"
#include "models/spectral_norm.h"

namespace ood {

// What comes before the residual layers: a 3×3 convolution for images of about 32 pixels, or a 7×7 convolution of stride
// 2 and a max pool of stride 2 for those of about 224.
enum class Stem { cifar, imagenet };

struct Architecture {
  int64_t depth = 18;  // 18, 34, 50, 101 or 152
  Stem stem = Stem::cifar;
  int64_t num_classes = 10;
  int64_t in_channels = 3;
  int64_t image_size = 32;  // of the spectral norm's operators; with the stem of CIFAR, of every image
  double width = 1.0;       // multiplies the 64, 128, 256, 512 planes of the four layers
  int64_t feature_dim = 0;  // length of the feature vector; 0: what depth and width give
  bool leaky_relu = false;
  bool avg_pool_shortcut = false;
  double spectral_norm_coefficient = 0;  // 0: no spectral normalisation
  int64_t power_iterations = 1;
  int64_t warmup_iterations = 0;
  bool l2_normalize = true;
  double temperature = 1.0;

  // Height and width of every image; 0: any.
  int64_t fixed_size() const { return stem == Stem::imagenet ? 0 : image_size; }
  Activation activation() const { return leaky_relu ? Activation::leaky_relu : Activation::relu; }
};

constexpr double l2_epsilon = 1e-12;

// What the tensors of a new network are made with.
struct Initialiser {
  at::Generator generator;
  at::Device device = at::kCPU;  // the meta device makes shapes without memory

  at::TensorOptions options() const { return at::TensorOptions().dtype(at::kFloat).device(device); }
};

// A convolution without bias, spectrally normalised where the architecture says so.
class Convolution : public torch::nn::Module {
 public:
  Convolution(const Architecture& architecture, int64_t in, int64_t out, int64_t kernel, int64_t stride,
              int64_t input_size, Initialiser& initialiser);

  // x [N, in, H, W] of the compute dtype; the weight is cast to it.
  at::Tensor forward(const at::Tensor& x);

  // The weight as the forward pass uses it, in evaluation mode (no power iteration).
  at::Tensor effective_weight();

  int64_t stride() const { return stride_; }
  int64_t padding() const { return kernel_ / 2; }
  // One power iteration on the weights as they are.
  void warm_up();

 private:
  int64_t kernel_;
  int64_t stride_;
  at::Tensor weight_;
  bool normalised_;
  SpectralNorm spectral_norm_;
};

// Batch normalisation with PyTorch's defaults (eps 1e-5, momentum 0.1).
class BatchNorm : public torch::nn::Module {
 public:
  BatchNorm(int64_t channels, const Initialiser& initialiser);
  at::Tensor forward(const at::Tensor& x);

  // The affine map of evaluation mode, per channel: x ↦ scale·x + shift, float64.
  std::pair<at::Tensor, at::Tensor> affine() const;

 private:
  at::Tensor weight_, bias_, running_mean_, running_var_, batches_;
};

// The shortcut of a residual block: identity, average pool with zero-padded channels, or 1×1 convolution with batch
// norm.
class Shortcut : public torch::nn::Module {
 public:
  Shortcut(const Architecture& architecture, int64_t in, int64_t out, int64_t stride, int64_t input_size,
           Initialiser& initialiser);

  // Adds the shortcut of x to `out` and returns it.
  at::Tensor add_to(at::Tensor out, const at::Tensor& x);

  enum class Kind { identity, avg_pool, projection };
  Kind kind() const { return kind_; }
  int64_t stride() const { return stride_; }
  std::shared_ptr<Convolution> convolution;
  std::shared_ptr<BatchNorm> batch_norm;

 private:
  Kind kind_;
  int64_t stride_;
};

// BasicBlock (two 3×3 convolutions) or Bottleneck (1×1, 3×3, 1×1).
class Block : public torch::nn::Module {
 public:
  Block(const Architecture& architecture, int64_t in, int64_t planes, int64_t stride, int64_t input_size,
        Initialiser& initialiser);
  at::Tensor forward(const at::Tensor& x);

  std::vector<std::shared_ptr<Convolution>> convolutions;
  std::vector<std::shared_ptr<BatchNorm>> batch_norms;
  std::shared_ptr<Shortcut> shortcut;

 private:
  Activation activation_;
};

class Network : public torch::nn::Module {
 public:
  // Weights are PyTorch's default initialisation, drawn from `seed` in float32.
  Network(const Architecture& architecture, uint64_t seed, at::Device device = at::kCPU);

  // One power iteration of every convolution's spectral norm; the architecture says how many a new network begins with.
  void warm_up(const Poll& poll);

  // x [N, in_channels, H, W] normalised images. The convolutional body computes in `compute_dtype`; from the pooled
  // features on, in the parameters' dtype.
  NetworkOutput forward(const at::Tensor& x, at::ScalarType compute_dtype, const Poll& poll);

  // Parameters and buffers under DDU's names, parameters first; live tensors.
  NamedTensors state() const;
  NamedTensors trainable() const;

  // Moves every floating tensor to the device and dtype; 4-D weights become channels-last, as the convolutions want
  // them.
  void move_to(at::Device device, at::ScalarType dtype);

  // A number that is another one after each change of the weights or the running statistics.
  uint64_t revision() const { return revision_; }
  void mark_changed() { ++revision_; }

  const Architecture& architecture() const { return architecture_; }
  int64_t feature_dim() const { return feature_dim_; }
  at::ScalarType dtype() const { return fc_weight_.scalar_type(); }
  at::Device device() const { return fc_weight_.device(); }

  std::shared_ptr<Convolution> stem_convolution;
  std::shared_ptr<BatchNorm> stem_batch_norm;
  std::vector<std::shared_ptr<Block>> blocks;
  const at::Tensor& fc_weight() const { return fc_weight_; }
  const at::Tensor& fc_bias() const { return fc_bias_; }

 private:
  Architecture architecture_;
  int64_t feature_dim_;
  at::Tensor fc_weight_, fc_bias_;
  uint64_t revision_ = 0;
};

// Name, shape and dtype of every parameter and buffer, as state() has them, on the meta device: nothing is allocated.
NamedTensors described_state(const Architecture& architecture);

// z / max(‖z‖₂, 1e-12) by row.
at::Tensor l2_normalised(const at::Tensor& features);

// The average pool of an avg-pool shortcut: along each side kernel = stride, or kernel 1 where the side is odd.
at::Tensor shortcut_pool(const at::Tensor& x, int64_t stride);

// The max pool that ends the stem of ImageNet; x itself for the other.
at::Tensor stem_pool(const at::Tensor& x, Stem stem);

}  // namespace ood
