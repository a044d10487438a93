// The neural-collapse loss of Haas, Yolland and Rabus 2022, Eq. 3: the numbers of neural_collapse.h over one batch, as
// a differentiable function of features and classifier weights.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>

namespace ood {

// The P classes that a batch has samples of. Made from labels [B] int64, and held, in host memory.
struct BatchClasses {
  explicit BatchClasses(const at::Tensor& labels);
  int64_t count() const { return present.size(0); }

  at::Tensor present;  // [P] ascending
  at::Tensor place;    // [B]: where in `present` a sample's class stands
  at::Tensor counts;   // [P]
};

// The six terms [6], whose sum is the loss: NC1, EN of means, EN of classifier, EA of means, EA of classifier, NC3, as
// CollapseNumbers defines them, over the classes that the batch has (two at least), as if the network had no other.
// Computed in float64 whatever the dtype of features [B, d] and weight [C, d] is; gradients come in theirs.
at::Tensor collapse_loss(const at::Tensor& features, const at::Tensor& weight, const BatchClasses& classes);

struct LossAndGradients {
  at::Tensor terms;             // [6] in host memory, as all of these
  at::Tensor features, weight;  // gradients of the terms' sum
};

// The loss of a whole batch on `device`, with its checks: ERR_NON_FINITE, ERR_SHAPE below two classes, ERR_RANGE where
// squares or gradients are beyond float64.
LossAndGradients collapse_loss_and_gradients(const at::Tensor& features, const at::Tensor& labels,
                                             const at::Tensor& weight, c10::Device device);

}  // namespace ood
