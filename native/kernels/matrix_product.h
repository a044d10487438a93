// Matrix products by the fastest routine for the processor: float32 ones behind bounds and distances, float64
// ones behind scatters and factors.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/tile_product.h"

namespace ood {

// x·weightᵀ + bias for float32 x [n, k], weight [m, k], bias [m] or undefined: [n, m]. The weight is laid out once.
class Float32Linear {
 public:
  Float32Linear(const at::Tensor& weight, const at::Tensor& bias);
  at::Tensor operator()(const at::Tensor& x) const;
  int64_t inputs() const { return inputs_; }  // k
  int64_t nbytes() const;

 private:
  int64_t inputs_, outputs_;
  at::Tensor weight_, bias_;  // the weight in panels where products are made of tiles
};

// The most additions, one after the other, that a number takes part in there on a device, for k = depth: what its
// rounding error is a multiple of.
int64_t longest_sum_float32(c10::Device device, int64_t depth);

// Which entries of a product are wanted; the others are undefined.
enum class Wanted { all, lower_triangle };

// What tiles are made with here: none where the BLAS is as good.
tile_product::Instructions tile_instructions();

// Whether a float64 product into this tensor is made of our own tiles (tile_product.h), which need no help from
// blocking.
bool has_tiles(const at::Tensor& target);

// target = target·L⁻ᵀ for a float64 target [m, k] and a lower triangle [k, k], both with contiguous rows, where
// has_tiles(target) and k is at most largest_triangle (tile_product.h).
void solve_right_by_tiles(const at::Tensor& lower, const at::Tensor& target);

// target = a·b for float64 a [m, k], b [k, n], target [m, n].
void set_product(at::Tensor& target, const at::Tensor& a, const at::Tensor& b);

// target += scale·a·b for float64 a [m, k], b [k, n], target [m, n].
void add_product(const at::Tensor& target, const at::Tensor& a, const at::Tensor& b, double scale = 1,
                 Wanted wanted = Wanted::all);

}  // namespace ood
