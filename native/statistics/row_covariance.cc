// Covariances of rows with weights.
#include "statistics/row_covariance.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/checks.h"
#include "core/errors.h"
#include "core/magnitude.h"
#include "statistics/covariance.h"
#include "statistics/symmetric.h"

namespace ood {

namespace {

constexpr int64_t chunk_rows = 4096;

// Rows of one matrix [n, d], or those of them that `order` names, with their weights: read piece by piece in float64.
struct WeightedRows {
  at::Tensor x;
  at::Tensor weight;  // [n], float64
  bool weighted = false;
  at::Tensor order = {};  // indices of rows; undefined: all

  int64_t count() const { return order.defined() ? order.size(0) : x.size(0); }

  at::Tensor piece(const at::Tensor& of, int64_t start) const {
    const int64_t end = std::min(start + chunk_rows, count());
    const at::Tensor part = order.defined() ? of.index_select(0, order.slice(0, start, end)) : of.slice(0, start, end);
    return part.to(at::kDouble);
  }
};

// Brings the weights to units in which their sum neither overflows nor loses digits; the quotient stays the same.
// Returns ddof in these units.
double bring_to_unit(WeightedRows& rows, double ddof) {
  if (!rows.weighted || rows.count() == 0) return ddof;
  const at::Tensor counted = rows.order.defined() ? rows.weight.index_select(0, rows.order) : rows.weight;
  const int exponent = extreme_exponent(std::max(counted.max().item<double>(), ddof));
  rows.weight = times_power(rows.weight, -exponent);
  return std::ldexp(ddof, -exponent);
}

// target += Σ w (x − x̄)(x − x̄)ᵀ in its lower triangle, x̄ the weighted mean of these rows. Returns Σ w.
double add_scatter(const at::Tensor& target, const WeightedRows& rows, const Poll& poll) {
  if (rows.count() == 0) return 0;
  at::Tensor total_weight = at::zeros({}, rows.weight.options());
  for (int64_t start = 0; start < rows.count(); start += chunk_rows)
    total_weight.add_(rows.piece(rows.weight, start).sum());
  const double total = total_weight.item<double>();
  if (!(total > 0)) return 0;
  at::Tensor mean = at::zeros({rows.x.size(1)}, target.options());
  at::Tensor rest = at::zeros_like(mean);  // what the first pass lost to rounding
  at::Tensor lowest = at::full_like(mean, std::numeric_limits<double>::infinity()), highest = -lowest;
  for (int64_t start = 0; start < rows.count(); start += chunk_rows) {
    poll();
    const at::Tensor x = rows.piece(rows.x, start), weight = rows.piece(rows.weight, start);
    mean.addmv_(x.t(), weight / total);
    const at::Tensor counted = rows.weighted ? x.index_select(0, weight.nonzero().squeeze(1)) : x;
    if (counted.size(0) == 0) continue;
    lowest = at::minimum(lowest, counted.amin(0));
    highest = at::maximum(highest, counted.amax(0));
  }
  mean = at::clamp(mean, lowest, highest);  // so that equal rows have no variance at all
  for (int64_t start = 0; start < rows.count(); start += chunk_rows) {
    poll();
    rest.addmv_((rows.piece(rows.x, start) - mean).t(), rows.piece(rows.weight, start) / total);
  }
  for (int64_t start = 0; start < rows.count(); start += chunk_rows) {
    poll();
    const at::Tensor centred = (rows.piece(rows.x, start) - mean).sub_(rest);
    if (rows.weighted) centred.mul_(rows.piece(rows.weight, start).sqrt().unsqueeze(1));
    add_lower_gram(target, centred);
  }
  return total;
}

at::Tensor divided(const at::Tensor& scatter, double weight, double ddof, const std::string& of) {
  if (!(weight - ddof > 0)) fail("ERR_SHAPE", "x: a total weight of ", weight, of, " is too little for ddof ", ddof);
  return within_range(mirror_lower(scatter.div_(weight - ddof)), "x: the covariance");
}

at::Tensor square_zeros(const at::Tensor& like) {
  return at::zeros({like.size(1), like.size(1)}, like.options().dtype(at::kDouble));
}

// Covariances within classes [C, d, d], or pooled over the classes with weight [d, d].
at::Tensor covariance_within(const WeightedRows& all, const at::Tensor& labels, int64_t classes, bool pooled,
                             double ddof, const Poll& poll) {
  const at::Tensor order = labels.argsort(/*stable=*/true, 0, false);
  const at::Tensor sizes = at::bincount(labels, {}, classes);
  at::Tensor scatter = square_zeros(all.x);
  std::vector<at::Tensor> own;
  double total = 0;
  int64_t present = 0, start = 0;
  for (int64_t c = 0; c < classes; ++c) {
    const int64_t end = start + sizes[c].item<int64_t>();
    WeightedRows rows = all;
    rows.order = order.slice(0, start, end).to(all.x.device());
    start = end;
    double own_ddof = ddof;
    if (!pooled) {
      scatter = square_zeros(all.x);
      own_ddof = bring_to_unit(rows, ddof);
    }
    const double weight = add_scatter(scatter, rows, poll);
    total += weight;
    present += weight > 0 ? 1 : 0;
    if (!pooled) own.push_back(divided(scatter, weight, own_ddof, " in class " + std::to_string(c)));
  }
  return pooled ? divided(scatter, total, ddof * static_cast<double>(present), "") : at::stack(own);
}

at::Tensor covariance_of_all(const at::Tensor& x, const at::Tensor& weights, const RowCovarianceInputs& inputs,
                             c10::Device device, const Poll& poll) {
  const std::vector<at::Tensor> matrices = each_matrix(x);
  const at::Tensor weight_of = weights.expand(x.sizes().slice(0, static_cast<size_t>(x.dim() - 1)))
                                   .reshape({static_cast<int64_t>(matrices.size()), x.size(-2)});
  std::vector<at::Tensor> found;
  for (size_t i = 0; i < matrices.size(); ++i) {
    WeightedRows rows{matrices[i].to(device), weight_of[static_cast<int64_t>(i)].to(device), inputs.weights.defined()};
    const double ddof = bring_to_unit(rows, inputs.ddof);
    const at::Tensor scatter = square_zeros(rows.x);
    found.push_back(divided(scatter, add_scatter(scatter, rows, poll), ddof, "").to(at::kCPU));
  }
  if (x.dim() == 2) return found[0];
  std::vector<int64_t> shape = x.sizes().vec();
  shape[shape.size() - 2] = shape.back();
  return at::stack(found).reshape(shape);
}

}  // namespace

at::Tensor row_covariance(const RowCovarianceInputs& inputs, c10::Device device, const Poll& poll) {
  const at::Tensor& x = inputs.x;
  require_finite(x, "x");
  if (inputs.of != CovarianceOf::all) require_labels(inputs.labels, inputs.classes, "labels");
  if (inputs.weights.defined()) {
    require_finite(inputs.weights, "weights");
    if (inputs.weights.lt(0).any().item<bool>()) fail("ERR_RANGE", "weights: expected none below 0");
  }
  const at::Tensor weights = inputs.weights.defined() ? inputs.weights.to(at::kDouble)
                                                      : at::ones({x.size(-2)}, x.options().dtype(at::kDouble));
  if (inputs.of == CovarianceOf::all) return covariance_of_all(x, weights, inputs, device, poll);
  WeightedRows rows{x.to(device), weights.to(device), inputs.weights.defined()};
  const bool pooled = inputs.of == CovarianceOf::pooled;
  const double ddof = pooled ? bring_to_unit(rows, inputs.ddof) : inputs.ddof;
  return covariance_within(rows, inputs.labels, inputs.classes, pooled, ddof, poll).to(at::kCPU);
}

}  // namespace ood
