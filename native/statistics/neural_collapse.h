// The neural-collapse numbers of Papyan, Han and Donoho 2020, from features or from class moments. No d x d matrix is
// decomposed: everything goes through the singular values of the C x d matrix of centred class means.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "core/task.h"
#include "statistics/class_moments.h"

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

// What the numbers are measured of, in host memory; computed on `device`.
struct CollapseInputs {
  c10::Device device = c10::kCPU;
  at::Tensor features;     // [N, d], float32 or float64
  at::Tensor labels;       // [N], int64, 0 … classes − 1
  at::Tensor predictions;  // [N] likewise; undefined: by weight and bias, where there is a weight
  at::Tensor weight;       // [classes, d] or undefined: no number of the classifier
  at::Tensor bias;         // [classes] or undefined
  int64_t classes = 0;
  std::optional<double> rcond;  // squared singular values below this share of the largest count as zero
};

// In two passes, a chunk of rows per step. ERR_NON_FINITE, ERR_RANGE and ERR_SHAPE as the data are.
Task<CollapseNumbers> measure_collapse(CollapseInputs inputs);

// Every number but NC4, from moments with scatters. ERR_RANGE where the scatters' largest entries leave no digit of
// NC1.
CollapseNumbers collapse_of_moments(const ClassMoments& moments, const at::Tensor& weight, std::optional<double> rcond);

}  // namespace ood
