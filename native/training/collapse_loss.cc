// The neural-collapse loss. No singular vector is differentiated: their gradients grow without bound as singular values
// become equal, which those of a simplex frame are.
#include "training/collapse_loss.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "core/checks.h"
#include "core/errors.h"

namespace ood {

namespace {

constexpr double epsilon = std::numeric_limits<double>::epsilon();

// The upper triangle R and, where wanted, Q of a matrix of full column rank; of NaN where it is not finite.
std::tuple<at::Tensor, at::Tensor> triangle(const at::Tensor& matrix) {
  const auto [orthogonal, upper] = at::linalg_qr(matrix);
  const at::Tensor pivots = upper.detach().diagonal().abs();
  const double rounding = 4 * static_cast<double>(matrix.size(0)) * epsilon;
  if ((pivots.min() > pivots.max() * rounding).item<bool>()) return {orthogonal, upper};
  if (!matrix.isfinite().all().item<bool>()) return {matrix, upper * std::numeric_limits<double>::quiet_NaN()};
  fail("ERR_RANGE", "features: expected class means in general position, found them on a subspace of fewer dimensions");
}

// P − 1 orthonormal rows whose sum of entries is zero (Helmert): their products with class means are what the means
// centred are, less one row that follows from the others.
at::Tensor contrasts(int64_t classes, const at::TensorOptions& options) {
  const at::Tensor place = at::arange(1, classes, options).unsqueeze(1);
  const at::Tensor rows = at::ones({classes - 1, classes}, options).tril_();
  rows.diagonal(1).copy_(-place.squeeze(1));
  return rows / (place * (place + 1)).sqrt();
}

// tr(Σ_W Σ_B†) from centred rows [B, d] and class means [P, d]: P/B · ‖rows·A†‖², A the contrasts of the means, whose
// AᵀA is that of the centred means. By a QR factorisation: a Gram matrix would lose twice the digits where one class is
// far from the others, and its inverse would need a singular one lifted.
at::Tensor variability(const at::Tensor& rows, const at::Tensor& means) {
  const int64_t classes = means.size(0);
  const double scale = static_cast<double>(classes) / static_cast<double>(rows.size(0));
  const at::Tensor apart = contrasts(classes, means.options().requires_grad(false)).mm(means);
  if (means.size(1) < classes - 1) {  // A = QR, A† = R⁻¹Qᵀ
    const at::Tensor upper = std::get<1>(triangle(apart));
    return at::linalg_solve_triangular(upper.t(), rows.t(), /*upper=*/false).square().sum() * scale;
  }
  const auto [axes, upper] = triangle(apart.t());  // Aᵀ = QR, A† = QR⁻ᵀ
  return at::linalg_solve_triangular(upper, rows.mm(axes).t(), /*upper=*/true).square().sum() * scale;
}

at::Tensor norms(const at::Tensor& rows) { return at::linalg_vector_norm(rows, 2, 1, /*keepdim=*/true); }

// Standard deviation (ddof 1) over mean of the row norms. The gradient of a norm is zero at zero, not NaN.
at::Tensor norm_variation(const at::Tensor& rows) {
  const at::Tensor lengths = norms(rows);
  const at::Tensor mean = lengths.mean();
  return at::linalg_vector_norm(lengths - mean) / (mean * std::sqrt(static_cast<double>(rows.size(0) - 1)));
}

// Mean over pairs of |cos + 1/(P−1)|.
at::Tensor angle_deviation(const at::Tensor& rows) {
  const auto classes = static_cast<double>(rows.size(0));
  const at::Tensor unit = rows / norms(rows);
  const at::Tensor deviation = (unit.mm(unit.t()) + 1 / (classes - 1)).abs();
  return (deviation.sum() - deviation.trace()) / (classes * (classes - 1));
}

// ERR_RANGE where a class mean is, but for rounding, the mean of the class means.
void require_angles(const at::Tensor& centred, const at::Tensor& features) {
  const double size = std::sqrt(static_cast<double>(centred.numel()));
  const at::Tensor rounding =
      4 * size * epsilon * at::linalg_vector_norm(features) / std::sqrt(static_cast<double>(features.numel()));
  if ((at::linalg_vector_norm(centred.detach(), 2, 1).min() <= rounding).item<bool>())
    fail("ERR_RANGE", "features: expected no class mean at the mean of the class means, where it has no angle");
}

// From the rows as they were given: under collapse x, which is rounded to its distance from the centre, has only a few
// digits of what is left. Centred twice, since the means are rounded.
at::Tensor class_deviations(const at::Tensor& given, const at::Tensor& means, const at::Tensor& members,
                            const at::Tensor& counts) {
  const at::Tensor once = given - members.t().mm(means);
  return once - members.t().mm(members.mm(once) / counts);
}

// ERR_RANGE where squares of the values overflow or vanish in float64.
void require_squares(const at::Tensor& values, const char* name, const char* of) {
  const double largest =
      at::linalg_vector_norm(values, std::numeric_limits<double>::infinity()).to(at::kDouble).item<double>();
  if (largest == 0 || (largest > 1e-140 && largest < 1e150)) return;
  fail("ERR_RANGE", name, ": expected ", of, " from about 1e-140 to 1e150, whose squares float64 holds, found ",
       largest);
}

at::Tensor unit_norm(const at::Tensor& matrix) { return matrix / at::linalg_vector_norm(matrix); }

}  // namespace

BatchClasses::BatchClasses(const at::Tensor& labels) {
  std::tie(present, place, counts) =
      at::_unique2(labels, /*sorted=*/true, /*return_inverse=*/true, /*return_counts=*/true);
}

at::Tensor collapse_loss(const at::Tensor& features, const at::Tensor& weight, const BatchClasses& classes) {
  const c10::Device device = features.device();
  // About one centre, and deviations centred twice: no number changes, but sums keep their digits far from zero.
  const at::Tensor given = features.to(at::kDouble);
  const at::Tensor centre = given.detach().mean(0);
  const at::Tensor x = given - centre;
  const at::Tensor w = weight.to(at::kDouble).index_select(0, classes.present.to(device));
  // Products, since the sums of index_add and of index_select's gradient come in another order each time on a GPU.
  const at::Tensor members = at::zeros({classes.count(), x.size(0)}, x.options().requires_grad(false))
                                 .scatter_(0, classes.place.to(device).unsqueeze(0), 1.0);
  const at::Tensor counts = classes.counts.to(device).unsqueeze(1);
  const at::Tensor means = members.mm(x) / counts;
  const at::Tensor centred = means - means.mean(0);
  const at::Tensor deviations = x - members.t().mm(means);
  const at::Tensor rows =
      deviations + (class_deviations(given.detach(), means.detach() + centre, members, counts) - deviations.detach());
  const at::Tensor nc1 = variability(rows, means);
  require_angles(centred, x.detach());
  const at::Tensor self_duality = (unit_norm(w) - unit_norm(centred)).square().sum();
  return at::stack(
      {nc1, norm_variation(centred), norm_variation(w), angle_deviation(centred), angle_deviation(w), self_duality});
}

LossAndGradients collapse_loss_and_gradients(const at::Tensor& features, const at::Tensor& labels,
                                             const at::Tensor& weight, c10::Device device) {
  require_finite(features, "features");
  require_finite(weight, "weight");
  require_labels(labels, weight.size(0), "labels");
  require_squares(features.to(at::kDouble) - features[0], "features", "distances between rows");
  require_squares(weight, "weight", "entries");
  const BatchClasses classes(labels.to(at::kLong));
  if (classes.count() < 2) fail("ERR_SHAPE", "labels: expected samples of at least 2 classes, found ", classes.count());
  const at::AutoGradMode with_grad(true);
  const auto leaf = [&](const at::Tensor& tensor) {
    return tensor.to(device, at::kDouble, /*non_blocking=*/false, /*copy=*/true).requires_grad_(true);
  };
  const at::Tensor x = leaf(features), w = leaf(weight);
  const at::Tensor terms = collapse_loss(x, w, classes);
  const at::Tensor values = terms.detach().to(at::kCPU);
  if (!values.isfinite().all().item<bool>())
    fail("ERR_RANGE", "expected no row of zeros in weight, and squares of features and weight that float64 holds");
  terms.sum().backward();
  LossAndGradients result{values, x.grad().to(at::kCPU), w.grad().to(at::kCPU)};
  if (!result.features.isfinite().all().item<bool>() || !result.weight.isfinite().all().item<bool>())
    fail("ERR_RANGE", "expected a gradient that float64 holds, found an overflow");
  return result;
}

}  // namespace ood
