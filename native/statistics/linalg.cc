// Pseudoinverses, Cholesky factors, eigenvalues and singular values.
#include "statistics/linalg.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/checks.h"
#include "core/errors.h"
#include "core/magnitude.h"
#include "kernels/matrix_product.h"
#include "statistics/covariance.h"
#include "statistics/symmetric.h"

namespace ood {

namespace {

bool any_extreme(const at::Tensor& exponents) { return exponents.ne(0).any().item<bool>(); }

// Keeps the largest in magnitude: those above rcond times the largest, or `rank` of them. values [..., k] ≥ 0, in any
// order.
at::Tensor kept(const at::Tensor& values, int64_t rows, int64_t columns, std::optional<double> rcond,
                std::optional<int64_t> rank) {
  const at::Tensor largest = values.amax(-1, true);
  if (rank) {
    const at::Tensor place =
        values.argsort(/*stable=*/true, -1, /*descending=*/true).argsort(/*stable=*/true, -1, false);
    return place.lt(*rank).logical_and(values.gt(0));
  }
  const double epsilon = values.scalar_type() == at::kFloat ? std::numeric_limits<float>::epsilon()
                                                            : std::numeric_limits<double>::epsilon();
  return values.gt(largest * rcond.value_or(static_cast<double>(std::max(rows, columns)) * epsilon));
}

// Whether products of such a matrix are made of tiles.
bool is_tiled(const at::Tensor& matrix) {
  return matrix.dim() == 2 && matrix.scalar_type() == at::kDouble && has_tiles(matrix);
}

// One matrix as a batch of its own needs no copy.
at::Tensor stacked(const std::vector<at::Tensor>& matrices) {
  return matrices.size() == 1 ? matrices[0].unsqueeze(0) : at::stack(matrices);
}

// The even exponent e for which a matrix times 2^-e, which has the factor times 2^(-e/2), keeps the digits that
// products of its own entries lose to underflow. Entries are only made larger, which is exact.
int tiny_exponent(const at::Tensor& matrix, double jitter) {
  const int exponent = extreme_exponent(std::max(matrix.diagonal().max().item<double>(), jitter));
  return exponent < 0 ? exponent - exponent % 2 : 0;
}

void bring_back(CholeskyFactor& factor, int exponent) {
  if (exponent != 0) factor.lower.mul_(std::ldexp(1, exponent / 2));
}

// Jitter relative to the mean of the diagonal.
CholeskyFactor relative_cholesky(const at::Tensor& matrix, const Poll& poll) {
  const int exponent = tiny_exponent(matrix, 0);
  const at::Tensor larger = times_power(matrix, -exponent);
  const auto dim = static_cast<double>(matrix.size(0));
  const double scale = larger.diagonal().div(dim).sum().item<double>();
  if (!std::isfinite(scale)) fail("ERR_RANGE", "matrix: the mean of its diagonal overflows float64");
  CholeskyFactor factor = safe_cholesky(larger, scale, poll);
  bring_back(factor, exponent);
  const double jitter = std::ldexp(factor.jitter, exponent);
  if (factor.jitter > 0 && jitter < std::numeric_limits<double>::min())
    fail("ERR_RANGE", "matrix: expected entries whose jitter is a float64, found a mean of the diagonal of ",
         std::ldexp(scale, exponent));
  factor.jitter = jitter;
  return factor;
}

// With a jitter that is given.
CholeskyFactor given_cholesky(const at::Tensor& matrix, double jitter) {
  const int exponent = tiny_exponent(matrix, jitter);
  CholeskyFactor factor = cholesky_with_jitter(times_power(matrix, -exponent), std::ldexp(jitter, -exponent));
  bring_back(factor, exponent);
  factor.jitter = jitter;
  return factor;
}

constexpr const char* pinv_overflow = "matrix: its pseudoinverse";

// The pseudoinverse of matrices of ordinary magnitudes.
at::Tensor plain_pseudoinverse(const at::Tensor& matrix, std::optional<double> rcond, std::optional<int64_t> rank,
                               bool hermitian) {
  if (hermitian) {
    const auto [values, vectors] = at::linalg_eigh(matrix);
    const at::Tensor keep = kept(values.abs(), matrix.size(-2), matrix.size(-1), rcond, rank);
    const at::Tensor scaled = vectors * at::where(keep, values.reciprocal(), at::zeros_like(values)).unsqueeze(-2);
    if (!is_tiled(scaled)) return scaled.matmul(vectors.mT());
    const at::Tensor inverse = at::zeros(matrix.sizes(), matrix.options());
    add_product(inverse, scaled, vectors.mT(), 1, Wanted::lower_triangle);
    return mirror_lower(inverse);
  }
  const auto [left, values, right] = at::linalg_svd(matrix, /*full_matrices=*/false);
  const at::Tensor keep = kept(values, matrix.size(-2), matrix.size(-1), rcond, rank);
  const at::Tensor scaled = right.mT() * at::where(keep, values.reciprocal(), at::zeros_like(values)).unsqueeze(-2);
  if (!is_tiled(scaled)) return scaled.matmul(left.mT());
  at::Tensor inverse = at::empty({matrix.size(1), matrix.size(0)}, matrix.options());
  set_product(inverse, scaled, left.mT());
  return inverse;
}

}  // namespace

at::Tensor pseudoinverse(const at::Tensor& matrix, std::optional<double> rcond, std::optional<int64_t> rank,
                         bool hermitian) {
  const at::Tensor exponents = extreme_exponents(matrix);
  if (!any_extreme(exponents)) return within_range(plain_pseudoinverse(matrix, rcond, rank, hermitian), pinv_overflow);
  const at::Tensor inverse = plain_pseudoinverse(times_power(matrix, exponents.neg()), rcond, rank, hermitian);
  return within_range(times_power(inverse, exponents.neg()), pinv_overflow);
}

at::Tensor checked_pseudoinverse(const at::Tensor& matrix, std::optional<double> rcond, std::optional<int64_t> rank,
                                 bool hermitian, c10::Device device) {
  if (!hermitian) require_finite(matrix, "matrix");
  const at::Tensor given = hermitian ? symmetric(matrix, "matrix") : matrix;
  return pseudoinverse(given.to(device), rcond, rank, hermitian).to(at::kCPU);
}

NamedTensors cholesky_factors(const at::Tensor& matrix, const JitterChoice& jitter, c10::Device device,
                              const Poll& poll) {
  const std::vector<at::Tensor> matrices = each_matrix(symmetric(matrix, "matrix").to(device, at::kDouble));
  const double common = jitter.rule == JitterChoice::Rule::ddu ? ddu_jitter(matrices, poll) : jitter.fixed;
  std::vector<at::Tensor> factors;
  std::vector<double> jitters;
  for (const at::Tensor& one : matrices) {
    poll();
    const CholeskyFactor factor =
        jitter.rule == JitterChoice::Rule::relative ? relative_cholesky(one, poll) : given_cholesky(one, common);
    factors.push_back(factor.lower);
    jitters.push_back(factor.jitter);
  }
  const at::Tensor factor =
      within_range(stacked(factors).reshape(matrix.sizes()).to(at::kCPU, matrix.scalar_type()), "matrix: its factor");
  return {{"factor", factor}, {"jitter", at::tensor(jitters, at::kDouble)}};
}

NamedTensors symmetric_eigen(const at::Tensor& matrix, c10::Device device) {
  at::Tensor given = symmetric(matrix, "matrix");
  const at::Tensor exponents = extreme_exponents(given);
  const bool extreme = any_extreme(exponents);
  if (extreme) given = times_power(given, exponents.neg());
  // LAPACK works by columns: of the transpose it needs a plain copy.
  auto [values, vectors] = at::linalg_eigh(given.mT().to(device));
  values = values.to(at::kCPU);
  if (extreme) values = within_range(times_power(values, exponents.squeeze(-1)), "matrix: an eigenvalue");
  // Columns from LAPACK to rows: not left to the JavaScript thread, which it would hold up.
  return {{"values", values}, {"vectors", vectors.to(at::kCPU).contiguous()}};
}

at::Tensor matrix_singular_values(const at::Tensor& matrix, c10::Device device) {
  require_finite(matrix, "matrix");
  // LAPACK takes four times as long for the transpose of a tall matrix.
  const bool wide = matrix.size(-1) > matrix.size(-2);
  const at::Tensor exponents = extreme_exponents(matrix);
  const bool extreme = any_extreme(exponents);
  const at::Tensor given = extreme ? times_power(matrix, exponents.neg()) : matrix;
  const at::Tensor values = at::linalg_svdvals((wide ? given.mT() : given).to(device)).to(at::kCPU);
  return extreme ? within_range(times_power(values, exponents.squeeze(-1)), "matrix: a singular value") : values;
}

}  // namespace ood
