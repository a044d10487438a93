// Gaussian class densities as jobs use them: fitted to features or to moments, and evaluated row chunk by row chunk.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "core/named_tensors.h"
#include "core/poll.h"
#include "core/task.h"
#include "statistics/gathered_moments.h"
#include "statistics/gaussian_density.h"

namespace ood {

// A density once it has been fitted or loaded; written by one job, read by later ones, on the compute thread.
struct SharedDensity {
  explicit SharedDensity(c10::Device where) : on(where) {}
  c10::Device on;
  std::optional<GaussianDensity> density;
  c10::Device device() const { return on; }
  int64_t nbytes() const { return density ? density->nbytes() : 0; }
  GaussianDensity& fitted();
};

enum class Quantity { log_density, class_log_densities, responsibilities, predict, least_squared_distance };

// Of the moments of all classes.
void fit_to_moments(SharedDensity& shared, GatheredMoments& moments, const DensityOptions& options, const Poll& poll);

// Of features [n, d] with labels [n] (int64, host), one part of them per step.
Task<> fit_to_features(std::shared_ptr<SharedDensity> shared, at::Tensor features, at::Tensor labels, int64_t classes,
                       DensityOptions options, Poll poll);

// The quantity of features [n, d], in host memory: [n, C] of classes, else [n]; int32 of predict, else float64.
Task<at::Tensor> evaluate_density(std::shared_ptr<SharedDensity> shared, at::Tensor features, Quantity quantity,
                                  Poll poll);

// What a fit came to: "count", "jitter" and "shrinkage" per class, and "withoutVariance", some of the classes.
NamedTensors fit_outcome(const GaussianDensity& density);

// "mean" [d] and "covariance" [d, d] of a class, jitter included; ERR_RANGE for one without samples.
NamedTensors class_parameters(const GaussianDensity& density, int64_t label);

}  // namespace ood
