// Scores that a row's own numbers give: those of logits, and the length of a feature. Nothing is fitted.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "core/task.h"

namespace ood {

enum class RowQuantity {
  max_softmax,       // max_c softmax(l / T)_c
  max_logit,         // max_c l_c
  negative_entropy,  // Σ_c p_c ln p_c with p = softmax(l / T)
  energy,            // T·logsumexp(l / T), the negative free energy
  margin,            // largest less second largest; 0 for a single column
  length,            // ‖h‖₂
  predicted_class,   // the column of the largest, the first of equal ones
};

struct RowScoreOptions {
  RowQuantity quantity = RowQuantity::max_logit;
  double temperature = 1;  // above 0; looked at by max_softmax, negative_entropy and energy
  std::string name;        // of the matrix, in errors
};

// The quantity of each row of a matrix [n, columns], float32 or float64, of at least one column, in host memory; float64
// [n]. Arithmetic is float64. ERR_NON_FINITE names the first row with NaN or infinity, ERR_RANGE the first whose result
// is beyond float64.
Task<at::Tensor> row_scores(at::Tensor matrix, RowScoreOptions options);

}  // namespace ood
