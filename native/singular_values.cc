// Singular values of feature sets.
#include "singular_values.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "arguments.h"
#include "class_statistics.h"
#include "job.h"
#include "magnitude.h"
#include "named_state.h"
#include "symbol_versions.h"
#include "tensor.h"

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

// One reading of a feature set, a piece per step. With `centred`, a first pass and a second find the mean, the second
// what the first lost to rounding; the last pass builds the triangle.
struct Spectrum {
  at::Tensor features;
  c10::Device device = c10::kCPU;
  bool centred = false;
  std::optional<int64_t> wanted;  // how many singular values

  int pass = 0, exponent = 0;
  int64_t done = 0;
  at::Tensor mean, rest;  // [d], in units of 2^exponent
  std::optional<RowTriangle> triangle;
  NamedState result;

  bool step() {
    const at::NoGradGuard no_grad;
    const int64_t count = features.size(0);
    const int64_t dim = features.size(1);
    if (!triangle) {
      require_finite(features, "features");
      exponent = unit_exponent(features);
      triangle.emplace(dim);
      mean = at::zeros({dim}, at::TensorOptions(at::kDouble).device(device));
      rest = at::zeros_like(mean);
      pass = centred ? 0 : 2;
    }
    const int64_t end = std::min(count, done + triangle_rows(dim));
    const at::Tensor rows = times_power(features.slice(0, done, end).to(device, at::kDouble), -exponent);
    if (pass == 0) {
      mean.add_(rows.sum(0), 1 / static_cast<double>(count));
    } else if (pass == 1) {
      rest.add_((rows - mean).sum(0), 1 / static_cast<double>(count));
    } else {
      triangle->add(centred ? (rows - mean).sub_(rest) : rows);
    }
    done = end;
    if (done < count) return false;
    done = 0;
    if (++pass < 3) return false;
    finish();
    return true;
  }

  void finish() {
    const int64_t dim = features.size(1);
    const auto [left, all, right] = at::linalg_svd(triangle->matrix(), /*full_matrices=*/false);
    const int64_t kept = std::min(wanted.value_or(all.size(0)), all.size(0));
    const double negligible = static_cast<double>(std::max(features.size(0), dim)) * epsilon * all.max().item<double>();
    result = {
        {"values", in_units(all.slice(0, 0, kept), exponent)},
        {"basis", with_fixed_signs(right.slice(0, 0, kept).t()).to(at::kCPU).contiguous()},
        {"centre", in_units(mean + rest, exponent)},
        {"outside", in_units(scalar(kept < all.size(0) ? total_length(all.slice(0, kept)) : 0), exponent)},
        {"rank", scalar(static_cast<double>(all.gt(negligible).sum().item<int64_t>()))},
    };
  }
};

// One reading of another feature set, seen in a basis.
struct Projection {
  at::Tensor features, basis, centre;  // [n, d]; [d, k], orthonormal columns; [d] or undefined
  c10::Device device = c10::kCPU;

  int exponent = 0;
  int64_t done = 0;
  double outside = 0;  // in units of 2^exponent, as the triangle
  std::optional<RowTriangle> triangle;
  NamedState result;

  void check() {
    require_finite(features, "features");
    require_finite(basis, "basis");
    if (centre.defined()) {
      require_finite(centre, "centre");
      centre = centre.to(device, at::kDouble);
    }
    exponent = unit_exponent(features, centre);
    if (centre.defined()) centre = times_power(centre, -exponent);
    basis = basis.to(device, at::kDouble);
    const at::Tensor unlike = basis.t().mm(basis) - at::eye(basis.size(1), basis.options());
    if (!(unlike.abs().max().item<double>() <= 1e-6))
      fail("ERR_RANGE", "basis: expected orthonormal columns, found some that are not");
    triangle.emplace(basis.size(1));
  }

  bool step() {
    const at::NoGradGuard no_grad;
    if (!triangle) check();
    const int64_t count = features.size(0);
    const int64_t end = std::min(count, done + triangle_rows(features.size(1)));
    at::Tensor rows = times_power(features.slice(0, done, end).to(device, at::kDouble), -exponent);
    if (centre.defined()) rows = rows - centre;
    const at::Tensor along = rows.mm(basis);
    triangle->add(along);
    if (basis.size(1) < basis.size(0))
      outside = std::hypot(outside, total_length(at::addmm(rows, along, basis.t(), 1, -1)));
    done = end;
    if (done < count) return false;
    finish();
    return true;
  }

  void finish() {
    const at::Tensor reduced = triangle->matrix();
    const at::Tensor values = in_units(at::linalg_svdvals(reduced), exponent);
    result = {
        {"values", at::constant_pad_nd(values, {0, basis.size(1) - values.size(0)})},
        {"lengths", in_units(row_lengths(reduced.t().contiguous()), exponent)},
        {"outside", in_units(scalar(outside), exponent)},
    };
  }
};

void require_rows(const at::Tensor& features) {
  if (features.numel() == 0)
    fail("ERR_SHAPE", "features: expected at least one row and one column, found ", features.sizes());
}

template <class Reading>
Napi::Value read(const Napi::CallbackInfo& info, std::shared_ptr<Reading> reading) {
  return submit_steps(
      info.Env(), reading->device, info[0], info.Env().Undefined(), [reading](JobContext&) { return reading->step(); },
      [reading](Napi::Env env) { return state_to_js(env, reading->result); });
}

// singularValues(control, features, { k?, centred }, device): "values" [k] descending, "basis" [d, k], "centre" [d],
// "outside" [1]: the length of the singular values left out, "rank" [1]
Napi::Value singular_values(const Napi::CallbackInfo& info) {
  auto reading = std::make_shared<Spectrum>();
  reading->features = features_argument(info[1], "features");
  require_rows(reading->features);
  const Napi::Object options = object_argument(info[2], "options");
  reading->centred = boolean_argument(options.Get("centred"), "centred");
  if (!options.Get("k").IsUndefined()) {
    const int64_t most = std::min(reading->features.size(0), reading->features.size(1));
    reading->wanted = integer_argument(options.Get("k"), "k", 1, most);
  }
  reading->device = device_argument(info[3], "device");
  return read(info, std::move(reading));
}

// projectedSingularValues(control, features, basis, centre | undefined, device): "values" [k] descending, "lengths" [k]
// by column of the basis, "outside" [1]
Napi::Value projected_singular_values(const Napi::CallbackInfo& info) {
  auto reading = std::make_shared<Projection>();
  reading->features = features_argument(info[1], "features");
  require_rows(reading->features);
  const int64_t dim = reading->features.size(1);
  reading->basis = tensor_argument(info[2], "basis", {at::kFloat, at::kDouble}, 2);
  const at::Tensor& basis = reading->basis;
  if (basis.size(0) != dim || basis.size(1) < 1 || basis.size(1) > dim) {
    fail("ERR_SHAPE", "basis: expected [", dim, ", 1 to ", dim, "] for features of ", dim, " columns, found ",
         basis.sizes());
  }
  reading->centre = optional_tensor_argument(info[3], "centre", {at::kFloat, at::kDouble}, 1);
  if (reading->centre.defined() && reading->centre.size(0) != dim)
    fail("ERR_SHAPE", "centre: expected ", dim, " values, found ", reading->centre.size(0));
  reading->device = device_argument(info[4], "device");
  return read(info, std::move(reading));
}

}  // namespace

void RowTriangle::add(const at::Tensor& rows) {
  const at::Tensor all = kept_.defined() ? at::cat({kept_, rows}) : rows;
  kept_ = all.size(0) > columns_ ? std::get<1>(at::linalg_qr(all, "r")) : all;
}

int64_t triangle_rows(int64_t columns) {
  constexpr int64_t usual_entries = int64_t{1} << 20, most_entries = int64_t{1} << 24;
  return std::max(2 * columns, std::min(std::max(8 * columns, usual_entries / columns), most_entries / columns));
}

void define_singular_values(Napi::Env env, Napi::Object exports) {
  exports.Set("singularValues", function<singular_values>(env, "singularValues"));
  exports.Set("projectedSingularValues", function<projected_singular_values>(env, "projectedSingularValues"));
}

}  // namespace ood
