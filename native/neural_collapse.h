// The neural-collapse numbers of Papyan, Han and Donoho 2020, from features or from class moments. No d x d matrix is
// decomposed: everything goes through the singular values of the C x d matrix of centred class means.
#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "class_moments.h"

namespace ood {

// What needs the classifier.
struct ClassifierNumbers {
  double en = 0, en_ddof0 = 0, ea = 0;
  double nc3 = 0, nc3_unit_columns = 0;
  double etf_distance = 0;
};

struct CollapseNumbers {
  double nc1 = 0;
  int64_t rank = 0;  // of the between-class scatter
  double en_means = 0, en_means_ddof0 = 0, ea_means = 0, etf_distance_means = 0;
  std::optional<ClassifierNumbers> classifier;
  std::optional<double> nc4, nc4_labels;
  std::vector<int64_t> classes;  // those with samples: what all numbers are over
};

// The class means of the P classes with samples, about their own mean, and their singular values. Not the spectrum of
// their Gram matrix: that has the squares, and loses twice the digits where one class is far from the others.
struct BetweenClasses {
  std::vector<int64_t> classes;
  double unit = 1;       // a power of two, over which everything below is
  at::Tensor means;      // [P, d], centred
  at::Tensor axes;       // [d, min(P, d)]: right singular vectors of the means
  at::Tensor strengths;  // [rank]: the singular values that are not zero, descending
};

// From the means [P, d] of the classes `labels`, as sums of two. spread: root mean square of the features' entries
// about some centre, which says what rounding does to a mean. rcond: squared singular values below this share of the
// largest count as zero (default: 4·max(P, d)·eps); at most P − 1 are kept. ERR_RANGE where the means of all classes
// coincide, or one has no angle, ERR_SHAPE below two classes with samples.
BetweenClasses between_classes(const std::vector<int64_t>& labels, const at::Tensor& means, const at::Tensor& means_low,
                               double spread, std::optional<double> rcond);

// Every number but NC4. `within`: the mean over samples of the squared deviation from the class mean along the axes,
// over strengths. Without a weight (undefined) no number of the classifier.
CollapseNumbers collapse_numbers(const BetweenClasses& between, double within, const at::Tensor& weight);

// Defines measureCollapse and measureCollapseOfStatistics on `exports`.
void define_neural_collapse(Napi::Env env, Napi::Object exports);

}  // namespace ood
