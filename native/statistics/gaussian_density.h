// Gaussian class densities: fitted from class moments, evaluated row chunk by row chunk, all in float64.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <vector>

#include "core/named_tensors.h"
#include "kernels/matrix_product.h"
#include "statistics/class_moments.h"
#include "statistics/covariance.h"

namespace ood {

enum class CovarianceKind { full, tied, diagonal, ledoit_wolf, oas, low_rank };
enum class PriorKind { empirical, uniform, none };
enum class JitterRule {
  per_class,  // safe_cholesky, each class for itself
  shared,     // the largest of those for all classes
  ddu,        // the DDU code's list, one for all classes
  fixed,      // a given absolute value
};

struct DensityOptions {
  CovarianceKind covariance = CovarianceKind::full;
  PriorKind prior = PriorKind::empirical;
  JitterRule jitter = JitterRule::per_class;
  double fixed_jitter = 0;
  int64_t rank = 0;  // low_rank only
};

// The least scatter that an estimator needs.
ScatterKind scatter_for(CovarianceKind covariance);

// Which classes moments are of: labels[i] is the label of their i-th, one of 0 … count − 1.
struct ClassLabels {
  int64_t count;
  std::vector<int64_t> labels;
};

// Only classes with samples are kept: a gap in the labels costs neither memory nor time. Functions of a class take its
// place among those; labels() and place_of() lead there and back.
class GaussianDensity {
 public:
  // Fits to `moments`, which lose their scatters on the way where `consume` is set.
  static GaussianDensity fit(ClassMoments& moments, const ClassLabels& named, const DensityOptions& options,
                             bool consume, const Poll& poll);

  // What one chunk of rows needs, kept from chunk to chunk so that no memory is asked for anew.
  struct Workspace {
    at::Tensor rows;  // [n, d]: float64 on the device; whitened where one covariance serves all classes
    at::Tensor first, second;
    at::Tensor features, lengths;  // where they are whitened: as given, and [n] squared lengths after it
  };

  // Makes what evaluation needs besides the factors; before the first load. A fit or a loaded file does without.
  void make_ready(const Poll& poll);

  // Takes a chunk of features [n, d] (any floating dtype and device) into the workspace.
  void load(Workspace& workspace, const at::Tensor& features) const;

  // log N(x; u_c, Σ_c) of the loaded rows under class c, [n]. Where `index` (int64) is defined, of those rows alone.
  at::Tensor log_density(Workspace& workspace, int64_t c, const at::Tensor& index = {}) const;

  // (x − u_c)ᵀ Σ_c⁻¹ (x − u_c), likewise.
  at::Tensor squared_distance(Workspace& workspace, int64_t c, const at::Tensor& index = {}) const;

  // log N(x; u_c, Σ_c) + log q(c) of the loaded rows, [n, P], with −∞ for each class that cannot matter: one whose term
  // is less than e^-50 of the largest, by a bound that costs less than the density. Sums and maxima over classes are
  // the same but for rounding: a row is solved for beside other rows, whose number decides the order of its sums.
  // Learns from the rows that it sees which bound serves.
  at::Tensor joint_log_density(Workspace& workspace, const Poll& poll);

  // log q(c), [P] on the device; 0 where there is no prior.
  at::Tensor log_prior() const;

  int64_t classes() const { return static_cast<int64_t>(counts_.size()); }  // C: with those without samples
  int64_t present() const { return static_cast<int64_t>(labels_.size()); }  // P: those with samples
  const std::vector<int64_t>& labels() const { return labels_; }            // [P], ascending
  int64_t place_of(int64_t label) const;                                    // −1 for a class without samples
  int64_t dim() const { return mean_.size(1); }
  c10::Device device() const { return mean_.device(); }
  CovarianceKind covariance() const { return options_.covariance; }
  const std::vector<int64_t>& counts() const { return counts_; }  // [C], as are the next two, by label
  const std::vector<double>& jitter() const { return jitter_; }
  const std::vector<double>& shrinkage() const { return shrinkage_; }
  const std::vector<int64_t>& without_variance() const { return without_variance_; }  // labels; of a fit, not of a file
  int64_t nbytes() const;  // of all that is kept, what evaluation has made included

  NamedTensors state() const;
  static GaussianDensity from_state(int64_t classes, int64_t dim, const DensityOptions& options, c10::Device device,
                                    const NamedTensors& state);

  at::Tensor mean(int64_t c) const;

  // The covariance that the factor of class c stands for, jitter included, [d, d].
  at::Tensor covariance_of(int64_t c) const;

 private:
  friend class GaussianFit;

  // A lower Cholesky factor. To solve with it, its diagonal blocks are held inverted as well (make_ready), so that
  // forward substitution is matrix products throughout.
  struct Factor {
    at::Tensor lower;
    std::vector<at::Tensor> inverse_blocks;
    at::Tensor leading_inverse;  // of the first few dimensions, transposed
    double half_log_determinant = 0;
  };
  static Factor keep_factor(const at::Tensor& lower);

  // L⁻¹ of some classes in float32, made when enough rows come by to pay for it: one product per block of
  // dimensions, whose weight holds the rows of each class in turn.
  struct PruningBound {
    std::vector<int64_t> classes;
    std::vector<double> norms;  // ‖L⁻¹‖_F
    std::vector<Float32Linear> blocks;
  };
  void make_pruning_bounds(const Poll& poll);
  at::Tensor leading_bound(const Workspace& workspace) const;
  at::Tensor product_bound(const Workspace& workspace, const Poll& poll) const;
  void centre(at::Tensor& out, const at::Tensor& rows, int64_t c, int64_t columns) const;
  double constant(double half_log_determinant) const;
  static void whiten(const Factor& factor, const at::Tensor& rows, at::Tensor& white);
  void whiten_means();
  const Factor& factor_of(int64_t c) const {
    return factors_[options_.covariance == CovarianceKind::tied ? 0 : static_cast<size_t>(c)];
  }

  int64_t count_of(int64_t c) const { return counts_[static_cast<size_t>(labels_[static_cast<size_t>(c)])]; }

  DensityOptions options_;
  std::vector<int64_t> counts_, labels_, without_variance_;
  at::Tensor mean_, mean_low_;      // [P, d]
  std::vector<Factor> factors_;     // P of them, one (tied) or none (diagonal)
  at::Tensor deviation_;            // [P, d] (diagonal)
  at::Tensor centre_, white_mean_;  // [d], [P, d]: means less the centre, whitened (tied)
  std::vector<double> jitter_, shrinkage_;

  // What joint_log_density has learnt: which bound to use, and whether float32 is worth another try.
  enum class Bound { leading, products };
  Bound bound_ = Bound::leading;
  bool products_bound_ = true;
  std::vector<PruningBound> pruning_bounds_;
  at::Tensor bound_centre_, bound_reach_;  // [d], [P]: mean of the class means, and their distances from it
  int64_t rows_seen_ = 0;
};

}  // namespace ood
