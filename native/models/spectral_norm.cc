// Spectral normalisation of a convolution.
#include "models/spectral_norm.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace ood {

namespace {

constexpr double epsilon = 1e-12;    // of the unit vectors, as DDU's
constexpr double stabiliser = 1e-5;  // added to the divisor of a 3×3 weight, as DDU's

bool is_matrix(const at::Tensor& weight) { return weight.size(2) == 1 && weight.size(3) == 1; }

int64_t output_size(int64_t input_size, int64_t stride) { return (input_size + stride - 1) / stride; }

void assign_unit(const at::Tensor& target, const at::Tensor& values) {
  const at::Tensor flat = values.reshape({-1});
  target.copy_(flat / flat.norm().clamp_min(epsilon));
}

at::Tensor as_matrix(const at::Tensor& weight) { return weight.flatten(1); }

// The convolution applied to v, flat.
at::Tensor apply(const at::Tensor& weight, const at::Tensor& v, int64_t stride, int64_t input_size) {
  return at::conv2d(v.view({1, weight.size(1), input_size, input_size}), weight, {}, stride, weight.size(2) / 2)
      .reshape({-1});
}

}  // namespace

void SpectralNorm::initialise(const at::Tensor& weight, at::Generator& generator) {
  const int64_t out = output_size(input_size, stride);
  const int64_t rows = is_matrix(weight) ? weight.size(0) : weight.size(0) * out * out;
  const int64_t columns = is_matrix(weight) ? weight.size(1) : weight.size(1) * input_size * input_size;
  v = at::empty({columns}, weight.options()).normal_(0, 1, generator);
  u = at::empty({rows}, weight.options()).normal_(0, 1, generator);
  assign_unit(v, v);
  assign_unit(u, u);
  sigma = at::ones({1}, weight.options());
}

void SpectralNorm::iterate(const at::Tensor& weight, int64_t iterations) {
  const at::NoGradGuard no_grad;
  const int64_t out = output_size(input_size, stride);
  for (int64_t i = 0; i < iterations; ++i) {
    if (is_matrix(weight)) {
      const at::Tensor matrix = as_matrix(weight);
      assign_unit(v, at::mv(matrix.t(), u));
      assign_unit(u, at::mv(matrix, v));
    } else {
      // A strided convolution forgets the parity of its input's size; output padding restores it.
      const int64_t output_padding = stride > 1 ? 1 - input_size % 2 : 0;
      assign_unit(v, at::conv_transpose2d(u.view({1, weight.size(0), out, out}), weight, {}, stride, weight.size(2) / 2,
                                          output_padding));
      assign_unit(u, apply(weight, v, stride, input_size));
    }
  }
}

at::Tensor SpectralNorm::estimate(const at::Tensor& weight) const {
  // Clones: the next power iteration writes to u and v in place while a backward pass may still need these.
  const at::Tensor left = at::GradMode::is_enabled() ? u.clone() : u;
  const at::Tensor right = at::GradMode::is_enabled() ? v.clone() : v;
  return at::dot(left, is_matrix(weight) ? at::mv(as_matrix(weight), right) : apply(weight, right, stride, input_size));
}

at::Tensor SpectralNorm::scaled(const at::Tensor& weight, const at::Tensor& estimate) const {
  const at::Tensor divisor = (estimate / coefficient).clamp_min(1.0);
  return weight / (is_matrix(weight) ? divisor : divisor + stabiliser);
}

}  // namespace ood
