// Covariance matrices in float64: scatters accumulated as lower triangles, shrinkage, and the Cholesky factor with the
// smallest safe jitter.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "core/poll.h"

namespace ood {

// target += rowsᵀ·rows for float64 rows [n, d], in the lower triangle of target [d, d]; what lies above it is
// undefined. Computed in block rows, which spares nearly half of the product.
void add_lower_gram(const at::Tensor& target, const at::Tensor& rows);

// Mirrors the lower triangle of a matrix with contiguous rows into what lies above it, in place; returns the matrix.
at::Tensor mirror_lower(const at::Tensor& matrix);

// matrix·vector for a symmetric matrix given by its lower triangle.
at::Tensor lower_times_vector(const at::Tensor& lower, const at::Tensor& vector);

// Σ of the squared entries of a symmetric matrix given by its lower triangle.
double squared_norm_of_lower(const at::Tensor& lower);

// The lower triangle row by row, [d(d+1)/2], and back to [d, d] with zeros above.
at::Tensor pack_lower(const at::Tensor& lower);
at::Tensor unpack_lower(const at::Tensor& packed, int64_t dim);

// Shrinks a covariance (lower triangle, in place) towards (tr/d)·I by `shrinkage` in 0 … 1.
void shrink_covariance(const at::Tensor& covariance, double shrinkage);

// Keeps the `rank` leading principal axes of a covariance (lower triangle, in place) and gives every other direction
// the mean of their variances: probabilistic PCA, Tipping and Bishop 1999.
void keep_leading_axes(const at::Tensor& covariance, int64_t rank);

// The shrinkage of Ledoit and Wolf 2004 for n rows whose covariance (divisor n) is given, from Σ‖y‖⁴/(Σ‖y‖²)² of the
// centred rows.
double ledoit_wolf_shrinkage(const at::Tensor& covariance, double count, double fourth_ratio);

// The oracle-approximating shrinkage of Chen et al. 2010, in the form that scikit-learn computes.
double oas_shrinkage(const at::Tensor& covariance, double count);

struct CholeskyFactor {
  at::Tensor lower;  // L with L·Lᵀ = covariance + jitter·I
  double jitter = 0;
};

// The factor with jitter 0 where that is safe, else with the smallest 10^k·scale that is: the factorisation succeeds,
// min L_ii² ≥ d·eps·max L_ii², and each feature's variance given the others, 1/(Σ⁻¹)_ii, is at least 1000·d·eps of its
// own, Σ_ii. Rounding is at most about d·eps of the variances, in the features' own units, so that what depends on the
// order of the rows is a thousandth. A zero covariance gets zero_covariance_jitter. Throws
// ERR_NOT_POSITIVE_DEFINITE where `scale` is 0 and jitter is needed.
CholeskyFactor safe_cholesky(const at::Tensor& covariance, double scale, const Poll& poll);

// The jitter of a covariance that is zero: the smallest power of ten of at least d·eps, times `scale`.
double zero_covariance_jitter(int64_t dim, double scale);

// The factor with one given jitter; ERR_NOT_POSITIVE_DEFINITE where it does not exist, ERR_RANGE where the diagonal
// overflows.
CholeskyFactor cholesky_with_jitter(const at::Tensor& covariance, double jitter);

// The first entry of the DDU code's list (0, the smallest normal number, 1e-308 … 1e-1) for which every covariance has
// a Cholesky factor; the same entry as a search through all of them finds, with few factorisations.
double ddu_jitter(const std::vector<at::Tensor>& covariances, const Poll& poll);

// What variances of features that are taken one by one may differ by: d·eps. Nothing is subtracted there, so that their
// rounding is relative to each.
double least_share_of_diagonal(int64_t dim);

// Whether variances are safely positive: min ≥ share·max.
bool safely_positive(const at::Tensor& variances, double share);

// 10^k·scale for the smallest k in the range of safe_cholesky for which `works` holds; `works` is monotone in k, and
// the answer usually near 10^k = share.
double smallest_power_of_ten(double share, double scale, const std::function<bool(double jitter)>& works);

}  // namespace ood
