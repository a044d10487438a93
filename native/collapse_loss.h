// The neural-collapse loss of Haas, Yolland and Rabus 2022, Eq. 3: the numbers of neural_collapse.h over one batch, as
// a differentiable function of features and classifier weights.
#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

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

// Defines collapseLoss on `exports`.
void define_collapse_loss(Napi::Env env, Napi::Object exports);

}  // namespace ood
