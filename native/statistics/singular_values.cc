// Singular values of feature sets.
#include "statistics/singular_values.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/checks.h"
#include "core/errors.h"
#include "core/magnitude.h"
#include "platform/symbol_versions.h"

namespace ood {

namespace {

constexpr double epsilon = std::numeric_limits<double>::epsilon();

at::Tensor scalar(double value) { return at::tensor({value}, at::kDouble); }

// The columns with the entry of largest magnitude made positive: a basis that does not depend on the machine.
at::Tensor with_fixed_signs(const at::Tensor& columns) {
  const at::Tensor place = columns.abs().argmax(0, /*keepdim=*/true);
  return columns * at::where(columns.gather(0, place).lt(0), -1.0, 1.0);
}

// The exponent of the power of two by which features (and what is subtracted of them) are divided: 0 where their
// magnitude is ordinary. Beyond that, products would overflow or vanish; everything here is as many times as large as
// the features.
int unit_exponent(const at::Tensor& features, const at::Tensor& centre = {}) {
  double largest = features.abs().max().item<double>();
  if (centre.defined()) largest = std::max(largest, centre.abs().max().item<double>());
  return extreme_exponent(largest);
}

// A result in the units of the features; ERR_RANGE where it is beyond float64.
at::Tensor in_units(const at::Tensor& result, int exponent) {
  return within_range(times_power(result.to(at::kCPU), exponent).contiguous(), "features: a length of theirs");
}

void require_orthonormal(const at::Tensor& basis) {
  const at::Tensor unlike = basis.t().mm(basis) - at::eye(basis.size(1), basis.options());
  if (!(unlike.abs().max().item<double>() <= 1e-6))
    fail("ERR_RANGE", "basis: expected orthonormal columns, found some that are not");
}

}  // namespace

Task<NamedTensors> singular_values(at::Tensor features, std::optional<int64_t> wanted, bool centred,
                                   c10::Device device) {
  require_finite(features, "features");
  const int exponent = unit_exponent(features);
  const int64_t count = features.size(0), dim = features.size(1), piece = triangle_rows(dim);
  const auto rows_from = [&](int64_t start) {
    const int64_t end = std::min(count, start + piece);
    return times_power(features.slice(0, start, end).to(device, at::kDouble), -exponent);
  };
  at::Tensor mean = at::zeros({dim}, at::TensorOptions(at::kDouble).device(device));  // in units of 2^exponent
  at::Tensor rest = at::zeros_like(mean);  // what the first pass lost to rounding
  if (centred) {
    for (int64_t start = 0; start < count; start += piece) {
      mean.add_(rows_from(start).sum(0), 1 / static_cast<double>(count));
      co_await next_turn;
    }
    for (int64_t start = 0; start < count; start += piece) {
      rest.add_((rows_from(start) - mean).sum(0), 1 / static_cast<double>(count));
      co_await next_turn;
    }
  }
  RowTriangle triangle(dim);
  for (int64_t start = 0; start < count; start += piece) {
    if (start > 0) co_await next_turn;
    const at::Tensor rows = rows_from(start);
    triangle.add(centred ? (rows - mean).sub_(rest) : rows);
  }
  const auto [left, all, right] = at::linalg_svd(triangle.matrix(), /*full_matrices=*/false);
  const int64_t kept = std::min(wanted.value_or(all.size(0)), all.size(0));
  const double negligible = static_cast<double>(std::max(count, dim)) * epsilon * all.max().item<double>();
  co_return NamedTensors{
      {"values", in_units(all.slice(0, 0, kept), exponent)},
      {"basis", with_fixed_signs(right.slice(0, 0, kept).t()).to(at::kCPU).contiguous()},
      {"centre", in_units(mean + rest, exponent)},
      {"outside", in_units(scalar(kept < all.size(0) ? total_length(all.slice(0, kept)) : 0), exponent)},
      {"rank", scalar(static_cast<double>(all.gt(negligible).sum().item<int64_t>()))},
  };
}

Task<NamedTensors> projected_singular_values(at::Tensor features, at::Tensor given_basis, at::Tensor given_centre,
                                             c10::Device device) {
  require_finite(features, "features");
  require_finite(given_basis, "basis");
  if (given_centre.defined()) require_finite(given_centre, "centre");
  const int exponent = unit_exponent(features, given_centre);
  const at::Tensor centre =
      given_centre.defined() ? times_power(given_centre.to(device, at::kDouble), -exponent) : at::Tensor();
  const at::Tensor basis = given_basis.to(device, at::kDouble);
  require_orthonormal(basis);
  RowTriangle triangle(basis.size(1));
  double outside = 0;  // in units of 2^exponent, as the triangle
  const int64_t count = features.size(0), piece = triangle_rows(features.size(1));
  for (int64_t start = 0; start < count; start += piece) {
    if (start > 0) co_await next_turn;
    const int64_t end = std::min(count, start + piece);
    at::Tensor rows = times_power(features.slice(0, start, end).to(device, at::kDouble), -exponent);
    if (centre.defined()) rows = rows - centre;
    const at::Tensor along = rows.mm(basis);
    triangle.add(along);
    if (basis.size(1) < basis.size(0))
      outside = std::hypot(outside, total_length(at::addmm(rows, along, basis.t(), 1, -1)));
  }
  const at::Tensor reduced = triangle.matrix();
  const at::Tensor values = in_units(at::linalg_svdvals(reduced), exponent);
  co_return NamedTensors{
      {"values", at::constant_pad_nd(values, {0, basis.size(1) - values.size(0)})},
      {"lengths", in_units(row_lengths(reduced.t().contiguous()), exponent)},
      {"outside", in_units(scalar(outside), exponent)},
  };
}

void RowTriangle::add(const at::Tensor& rows) {
  const at::Tensor all = kept_.defined() ? at::cat({kept_, rows}) : rows;
  kept_ = all.size(0) > columns_ ? std::get<1>(at::linalg_qr(all, "r")) : all;
}

int64_t triangle_rows(int64_t columns) {
  constexpr int64_t usual_entries = int64_t{1} << 20, most_entries = int64_t{1} << 24;
  return std::max(2 * columns, std::min(std::max(8 * columns, usual_entries / columns), most_entries / columns));
}

}  // namespace ood
