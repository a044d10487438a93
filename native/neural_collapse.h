// The neural-collapse numbers of Papyan, Han and Donoho 2020, from features or from class moments. No d x d matrix is
// decomposed: everything goes through the C x C Gram matrix of the centred class means.
#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "class_moments.h"

namespace ood {

struct CollapseNumbers {
  double nc1 = 0;
  int64_t rank = 0;  // of the between-class scatter
  double en_means = 0, en_means_ddof0 = 0, en_classifier = 0, en_classifier_ddof0 = 0;
  double ea_means = 0, ea_classifier = 0;
  double nc3 = 0, nc3_unit_columns = 0;
  double etf_distance_means = 0, etf_distance_classifier = 0;
  std::optional<double> nc4, nc4_labels;
  std::vector<int64_t> classes;  // those with samples: what all numbers are over
};

// The class means of the P classes with samples, about their own mean, and the spectrum of their Gram matrix.
struct BetweenClasses {
  std::vector<int64_t> classes;
  at::Tensor centre;      // [d]: mean of the class means
  at::Tensor means;       // [P, d], centred
  at::Tensor gram;        // [P, P] = means·meansᵀ
  at::Tensor directions;  // [P, rank]: eigenvectors of the Gram matrix
  at::Tensor strengths;   // [rank]: their eigenvalues
};

// rcond: eigenvalues of the Gram matrix below this share of the largest count as zero (default: 4·max(P, d)·eps); at
// most P − 1 are kept. ERR_RANGE where the means of all classes coincide, ERR_SHAPE below two classes with samples.
BetweenClasses between_classes(const at::Tensor& mean, const at::Tensor& mean_low, const std::vector<int64_t>& counts,
                               std::optional<double> rcond);

// Every number but NC4. `within` [P, P]: means·S·meansᵀ for the within-class scatter S, summed over samples.
CollapseNumbers collapse_numbers(const BetweenClasses& between, const at::Tensor& within, int64_t samples,
                                 const at::Tensor& weight);

// That product from a pooled scatter (lower triangle).
at::Tensor within_of_scatter(const BetweenClasses& between, const at::Tensor& scatter);

// Defines measureCollapse and measureCollapseOfStatistics on `exports`.
void define_neural_collapse(Napi::Env env, Napi::Object exports);

}  // namespace ood
