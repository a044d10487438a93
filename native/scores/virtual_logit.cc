// The score of ViM.
#include "scores/virtual_logit.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "core/checks.h"
#include "core/errors.h"
#include "core/magnitude.h"
#include "platform/symbol_versions.h"
#include "statistics/linalg.h"

namespace ood {

namespace {

// Rows taken at once: enough for the matrix kernels, few enough that a step stays short.
int64_t chunk_rows(int64_t dim) { return std::max<int64_t>(1024, dim); }

at::Tensor residual_lengths(const at::Tensor& rows, const ResidualSpace& space) {
  return row_lengths((rows.to(space.on, at::kDouble) - space.origin).mm(space.basis));
}

// The point whose logits are zero: −W⁺b, or zero without a bias.
at::Tensor zero_logit_point(const at::Tensor& weight, const at::Tensor& bias, c10::Device device) {
  if (!bias.defined()) return at::zeros({weight.size(1)}, at::TensorOptions().dtype(at::kDouble).device(device));
  const at::Tensor inverse = pseudoinverse(weight.to(device, at::kDouble), std::nullopt, std::nullopt, false);
  const at::Tensor origin = inverse.mv(bias.to(device, at::kDouble)).neg_();
  if (!origin.isfinite().all().item<bool>())
    fail("ERR_RANGE", "weight: the point whose logits are zero is beyond float64");
  return origin;
}

void require_fitted(const ResidualSpace& space) {
  if (!space.basis.defined()) fail("ERR_OPTION", "score: expected one that has been fitted or loaded");
}

}  // namespace

// The principal subspace by the singular value decomposition of the rows themselves, through the R of their QR
// decomposition, which is made chunk by chunk. Their Gram matrix would square the ratio of the singular values: under
// collapse its small eigenvectors are rounding noise.
Task<double> fit_virtual_logit(std::shared_ptr<ResidualSpace> shared, VirtualLogitInputs inputs, int64_t dimension,
                               Poll poll) {
  const at::Tensor& features = inputs.features;
  require_finite(features, "features");
  require_finite(inputs.logits, "logits");
  require_finite(inputs.weight, "weight");
  if (inputs.bias.defined()) require_finite(inputs.bias, "bias");
  const int64_t count = features.size(0), dim = features.size(1), piece = chunk_rows(dim);
  const auto n = static_cast<double>(count);
  ResidualSpace made(shared->on);
  made.origin = zero_logit_point(inputs.weight, inputs.bias, made.on);

  double length = 0;                                                          // of all rows together
  at::Tensor stacked = at::zeros({dim, dim + piece}, made.origin.options());  // columns of [R; chunk], as LAPACK's
  at::Tensor upper;
  for (int64_t start = 0; start < count; start += piece) {
    co_await next_turn;
    const int64_t end = std::min(start + piece, count);
    const at::Tensor rows = features.slice(0, start, end).to(made.on, at::kDouble) - made.origin;
    length = std::hypot(length, total_length(rows));
    if (!std::isfinite(length)) {
      fail("ERR_RANGE", "features: expected them within float64 of the point whose logits are zero, found them beyond");
    }
    at::Tensor part = stacked.slice(1, 0, dim + end - start);
    part.slice(1, dim).copy_(rows.t());
    upper = std::get<0>(at::geqrf(part.t())).slice(0, 0, dim).triu();
    stacked.slice(1, 0, dim).copy_(upper.t());
  }
  stacked.reset();
  poll();
  made.basis = std::get<2>(at::linalg_svd(upper, /*full_matrices=*/true)).slice(0, dimension).t().contiguous();

  double residuals = 0, largest_logits = 0;  // means
  for (int64_t start = 0; start < count; start += 4 * piece) {
    co_await next_turn;
    const int64_t end = std::min(start + 4 * piece, count);
    residuals += residual_lengths(features.slice(0, start, end), made).div_(n).sum().item<double>();
    largest_logits +=
        std::get<0>(inputs.logits.slice(0, start, end).max(1)).to(at::kDouble).div_(n).sum().item<double>();
  }
  const double usual = length / std::sqrt(n);
  const double noise = static_cast<double>(dim) * std::numeric_limits<double>::epsilon() * usual;
  if (!(residuals > noise)) {
    fail("ERR_RANGE",
         "dimension: expected fewer than the dimensions of the training features, whose principal subspace of ",
         dimension, " dimensions leaves nothing of them (", residuals, " of ", usual, " on average)");
  }
  made.alpha = largest_logits / residuals;
  if (!std::isfinite(made.alpha)) {
    fail("ERR_RANGE", "logits: expected their largest over the residual length to be within float64, found ",
         largest_logits, " over ", residuals);
  }
  *shared = made;
  co_return made.alpha;
}

Task<at::Tensor> virtual_logit_scores(std::shared_ptr<ResidualSpace> shared, at::Tensor features, at::Tensor logits) {
  require_fitted(*shared);
  if (features.size(1) != shared->origin.size(0)) {
    fail("ERR_SHAPE", "features: expected ", shared->origin.size(0), " columns, found ", features.size(1));
  }
  require_finite(features, "features");
  require_finite(logits, "logits");
  const int64_t count = features.size(0), piece = chunk_rows(features.size(1));
  at::Tensor result = at::empty({count}, at::kDouble);
  for (int64_t start = 0; start < count; start += piece) {
    if (start > 0) co_await next_turn;
    const int64_t end = std::min(start + piece, count);
    const at::Tensor residual = residual_lengths(features.slice(0, start, end), *shared).to(at::kCPU);
    const at::Tensor energy = at::logsumexp(logits.slice(0, start, end).to(at::kDouble), 1);
    const at::Tensor scores = energy.sub_(residual, shared->alpha);
    const at::Tensor lost = scores.isfinite().logical_not_().nonzero();
    if (lost.size(0) > 0) {
      fail("ERR_RANGE", "features: expected rows and logits whose score is within float64, found row ",
           start + lost[0].item<int64_t>(), " beyond");
    }
    result.slice(0, start, end).copy_(scores);
  }
  co_return result;
}

NamedTensors ResidualSpace::state() const {
  require_fitted(*this);
  return {{"origin", origin.to(at::kCPU)}, {"basis", basis.to(at::kCPU)}, {"alpha", at::tensor({alpha}, at::kDouble)}};
}

ResidualSpace ResidualSpace::from_state(int64_t dim, int64_t dimension, const NamedTensors& state, c10::Device on) {
  ResidualSpace space(on);
  space.origin = saved_tensor(state, "origin", at::kDouble, {dim}).to(on);
  space.basis = saved_tensor(state, "basis", at::kDouble, {dim, dim - dimension}).to(on);
  space.alpha = saved_tensor(state, "alpha", at::kDouble, {1}).item<double>();
  return space;
}

}  // namespace ood
