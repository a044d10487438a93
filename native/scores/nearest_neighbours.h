// The distance of each query to the k-th nearest of some points, by exact search.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>

#include "core/task.h"

namespace ood {

// The points that are searched, on a device; written by one job, read by later ones, on the compute thread.
struct NeighbourPoints {
  explicit NeighbourPoints(c10::Device where) : on(where) {}
  c10::Device on;
  at::Tensor points;   // [N, d], float32 or float64 as they were given
  at::Tensor inverse;  // [N, 1], float64: 1/‖point‖, 1 for a zero point; undefined where lengths are kept
  int64_t k = 0;
  // Pruning bounds work on (point − centre)·scale.
  at::Tensor centre;  // [d], float64
  double scale = 1;
  c10::Device device() const { return on; }
  int64_t nbytes() const {
    const size_t own = inverse.defined() ? inverse.nbytes() : 0;
    return points.defined() ? static_cast<int64_t>(points.nbytes() + own) : 0;
  }
};

// Makes `shared` the points of features [N, d]; nothing of it changes before all is done.
Task<> fit_neighbours(std::shared_ptr<NeighbourPoints> shared, at::Tensor features, int64_t k, bool normalize);

// float64 [n], in host memory, of queries [n, d]. ERR_OPTION before a fit, ERR_SHAPE, ERR_NON_FINITE, ERR_RANGE.
Task<at::Tensor> neighbour_distances(std::shared_ptr<NeighbourPoints> shared, at::Tensor queries);

// The points as they were given, in host memory; ERR_OPTION before a fit.
at::Tensor fitted_points(const NeighbourPoints& shared);

}  // namespace ood
