// Counts, means and scatters per class in float64: what every statistic of the method follows from. Fed rows in any
// pieces, merged by the pairwise formulas of Chan, Golub and LeVeque 1983; E[x²] − E[x]² is never formed.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "core/named_tensors.h"

namespace ood {

enum class ScatterKind {
  full,      // one d x d matrix per class, and the third and fourth moments that shrinkage needs
  matrices,  // one d x d matrix per class alone: for a fit that needs no more
  pooled,    // one d x d matrix, the sum over classes
  diagonal,  // variances only
};

class ClassMoments {
 public:
  ClassMoments(int64_t classes, int64_t dim, ScatterKind kind, c10::Device device);

  // Adds rows [n, d] of any floating dtype with labels [n] (int64, host), which have been checked. One call per part
  // of cut(), so that a caller can give way in between. ERR_RANGE where squares overflow or vanish.
  struct Part {
    int64_t label;
    at::Tensor rows;  // indices of rows, int64, host
  };
  std::vector<Part> cut(const at::Tensor& labels) const;
  void add(const Part& part, const at::Tensor& features);

  // Adds the statistics of other rows; same classes, dim and kind.
  void merge(const ClassMoments& other);

  int64_t classes() const { return static_cast<int64_t>(counts_.size()); }
  int64_t dim() const { return dim_; }
  ScatterKind kind() const { return kind_; }
  c10::Device device() const { return device_; }
  const std::vector<int64_t>& counts() const { return counts_; }
  int64_t total() const;
  std::vector<int64_t> present() const;  // classes with at least one row

  // [C, d]; rows of absent classes are 0. The mean is mean + mean_low, to about twice the digits of a double: under
  // collapse, the distance of a feature from its mean has far fewer digits than the mean.
  const at::Tensor& mean() const { return mean_; }
  const at::Tensor& mean_low() const { return mean_low_; }

  // Lower triangle [d, d] of class c (full; undefined for an absent class).
  const at::Tensor& scatter(int64_t c) const { return scatter_[static_cast<size_t>(c)]; }
  void drop_scatter(int64_t c) { scatter_[static_cast<size_t>(c)].reset(); }  // gives memory back while a fit goes on
  at::Tensor pooled_scatter() const;                                          // lower triangle [d, d]; full or pooled
  at::Tensor scatter_diagonals() const;                                       // [C, d]; full or diagonal
  const at::Tensor& traces() const { return trace_; }                         // [C]: Σ‖y‖² of the centred rows
  const at::Tensor& fourth_ratios() const { return fourth_; }  // [C]: Σ‖y‖⁴/(Σ‖y‖²)² (full only)

  int64_t nbytes() const;  // of all arrays

  // Every array under its name in a file, scatters as packed triangles; and back.
  NamedTensors state() const;
  static ClassMoments from_state(int64_t classes, int64_t dim, ScatterKind kind, c10::Device device,
                                 const NamedTensors& state);

 private:
  bool has_matrices() const { return kind_ == ScatterKind::full || kind_ == ScatterKind::matrices; }
  at::Tensor& class_scatter(int64_t c);

  // The moments of some rows of one class, all but their scatter matrix, which is only ever multiplied by a vector
  // here.
  struct Joining {
    int64_t count;
    at::Tensor mean, mean_low, trace, cube, fourth;
    std::function<at::Tensor(const at::Tensor&)> scatter_times;
  };

  // From the mean of class c, and the trace of both together. ERR_RANGE where float64 does not hold its squares.
  at::Tensor shift_to(int64_t c, const Joining& other) const;
  at::Tensor joint_trace(int64_t c, const Joining& other, const at::Tensor& shift) const;

  // Joins all but the scatter into class c. Returns √(n₁n₂/n)·(distance of the means), the row whose Gram matrix the
  // joint scatter has besides the two; undefined where the class was empty.
  at::Tensor join(int64_t c, const Joining& other);

  int64_t dim_;
  ScatterKind kind_;
  c10::Device device_;
  std::vector<int64_t> counts_;
  at::Tensor mean_, mean_low_;       // [C, d]
  std::vector<at::Tensor> scatter_;  // full: C of [d, d]; pooled: one [d, d]; diagonal: one [C, d]
  at::Tensor trace_;                 // [C]
  // Over powers of √trace, so that features of any magnitude neither overflow nor vanish; full only.
  at::Tensor cube_;    // [C, d]: Σ‖y‖²y / trace^1.5
  at::Tensor fourth_;  // [C]: Σ‖y‖⁴ / trace²
};

}  // namespace ood
