// Arithmetic at any magnitude.
#include "core/magnitude.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstdlib>
#include <tuple>

#include "core/dtype.h"
#include "core/errors.h"

namespace ood {

namespace {

// What squares lose to underflow is beneath the rounding of their sum from here on.
constexpr double squares_are_exact = 1e-140;

int ordinary_exponent(at::ScalarType dtype) { return dtype == at::kFloat ? 40 : 300; }

}  // namespace

at::Tensor row_lengths(const at::Tensor& rows) {
  at::Tensor length = at::linalg_vector_norm(rows, 2, 1);
  const at::Tensor plain = length.ge(squares_are_exact).logical_and_(length.isfinite());
  const at::Tensor others = plain.logical_not().nonzero().squeeze(1);
  if (others.size(0) == 0) return length;
  const at::Tensor some = rows.index_select(0, others);
  const at::Tensor largest = some.abs().amax(1, /*keepdim=*/true);
  const at::Tensor unit = at::where(largest.gt(0), largest, at::ones_like(largest));
  return length.index_copy_(0, others, at::linalg_vector_norm(some.div(unit), 2, 1).mul_(largest.squeeze(1)));
}

double total_length(const at::Tensor& values) { return row_lengths(values.reshape({1, -1})).item<double>(); }

at::Tensor times_power(const at::Tensor& values, int exponent) {
  if (exponent == 0) return values;
  return values.mul(std::ldexp(1.0, exponent / 2)).mul_(std::ldexp(1.0, exponent - exponent / 2));
}

at::Tensor times_power(const at::Tensor& values, const at::Tensor& exponents) {
  const at::Tensor half = at::floor_divide(exponents, 2);
  const auto power = [&values](const at::Tensor& of) { return at::exp2(of.to(at::kDouble)).to(values.scalar_type()); };
  return values * power(half) * power(exponents - half);
}

int extreme_exponent(double magnitude) {
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  return std::abs(exponent) > ordinary_exponent(at::kDouble) ? exponent : 0;
}

at::Tensor extreme_exponents(const at::Tensor& batch) {
  const at::Tensor largest = batch.abs().amax(at::IntArrayRef{-2, -1}, /*keepdim=*/true).to(at::kDouble);
  const at::Tensor exponent = std::get<1>(at::frexp(largest));
  return exponent.masked_fill(exponent.abs().le(ordinary_exponent(batch.scalar_type())), 0);
}

at::Tensor within_range(const at::Tensor& result, const char* what) {
  if (!result.isfinite().all().item<bool>()) {
    fail("ERR_RANGE", what, " overflows ", dtype_name(result.scalar_type()));
  }
  return result;
}

}  // namespace ood
