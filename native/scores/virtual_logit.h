// The score of ViM (Wang et al. 2022): the free energy of the logits against a virtual logit, the length of what the
// principal subspace of the training features leaves of a feature.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>

#include "core/named_tensors.h"
#include "core/poll.h"
#include "core/task.h"

namespace ood {

// What a fit comes to, float64, on a device; written by one job, read by later ones, on the compute thread.
struct ResidualSpace {
  explicit ResidualSpace(c10::Device where) : on(where) {}
  c10::Device on;
  at::Tensor origin;  // [d]
  at::Tensor basis;   // [d, d − D], orthonormal columns: what is orthogonal to the principal subspace
  double alpha = 0;
  c10::Device device() const { return on; }
  int64_t nbytes() const { return origin.defined() ? static_cast<int64_t>(origin.nbytes() + basis.nbytes()) : 0; }

  // ERR_OPTION before a fit.
  NamedTensors state() const;
  static ResidualSpace from_state(int64_t dim, int64_t dimension, const NamedTensors& state, c10::Device on);
};

// What a fit is given, in host memory, float32 or float64.
struct VirtualLogitInputs {
  at::Tensor features, logits;  // [n, d], [n, C]
  at::Tensor weight, bias;      // [C, d], [C] or undefined: of the layer that made the logits
};

// Makes `shared` the space that a principal subspace of `dimension` dimensions leaves; alpha. Nothing of `shared`
// changes before all is done.
Task<double> fit_virtual_logit(std::shared_ptr<ResidualSpace> shared, VirtualLogitInputs inputs, int64_t dimension,
                               Poll poll);

// logsumexp(logits) − alpha·residual, float64 [n] in host memory.
Task<at::Tensor> virtual_logit_scores(std::shared_ptr<ResidualSpace> shared, at::Tensor features, at::Tensor logits);

}  // namespace ood
