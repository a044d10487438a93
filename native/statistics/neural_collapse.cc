// The neural-collapse numbers.
#include "statistics/neural_collapse.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/checks.h"
#include "core/errors.h"

namespace ood {

namespace {

constexpr double epsilon = std::numeric_limits<double>::epsilon();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr int64_t chunk_entries = int64_t{1}
                                  << 18;  // of float64: a chunk stays in the cache through all that is done with it

// The power of two by which values of magnitude `largest` come near 1; 1 for zero.
double unit_of(double largest) {
  int exponent = 0;
  std::frexp(largest, &exponent);
  return largest > 0 ? std::ldexp(1.0, std::clamp(exponent, -1000, 1000)) : 1;
}

double largest_of(const at::Tensor& tensor) { return at::linalg_vector_norm(tensor, infinity).item<double>(); }

// Standard deviation over mean of the row norms, with divisor n − ddof.
double norm_variation(const at::Tensor& rows, double ddof) {
  const at::Tensor norms = at::linalg_vector_norm(rows, 2, 1);
  const double mean = norms.mean().item<double>();
  const double squares = (norms - mean).square().sum().item<double>();
  return std::sqrt(squares / (static_cast<double>(rows.size(0)) - ddof)) / mean;
}

// Rows of unit length; their largest entry is brought to 1 first, so that no square vanishes.
at::Tensor unit_rows(const at::Tensor& rows) {
  const at::Tensor scaled = rows / at::linalg_vector_norm(rows, infinity, 1, true);
  return scaled / at::linalg_vector_norm(scaled, 2, 1, true);
}

// Mean over pairs of |cos − (−1/(P−1))|.
double angle_deviation(const at::Tensor& unit) {
  const auto classes = static_cast<double>(unit.size(0));
  const at::Tensor deviation = unit.mm(unit.t()).add_(1 / (classes - 1)).abs_();
  deviation.fill_diagonal_(0);
  return deviation.sum().item<double>() / (classes * (classes - 1));
}

at::Tensor unit_norm(const at::Tensor& matrix) { return matrix / at::linalg_vector_norm(matrix); }

// Frobenius distance of a Gram matrix, at unit norm, from that of a simplex equiangular tight frame (Zhu et al. 2021,
// NC2).
double etf_distance(const at::Tensor& rows) {
  const at::Tensor gram = rows.mm(rows.t());
  const auto classes = static_cast<double>(gram.size(0));
  const at::Tensor ideal = (at::eye(gram.size(0), gram.options()) - 1 / classes) / std::sqrt(classes - 1);
  return at::linalg_vector_norm(unit_norm(gram) - ideal).item<double>();
}

void require_weight(const at::Tensor& weight) {
  require_finite(weight, "weight");
  const at::Tensor zero = at::linalg_vector_norm(weight, infinity, 1).eq(0).nonzero();
  if (zero.size(0) > 0) fail("ERR_RANGE", "weight: expected no row of zeros, found row ", zero[0].item<int64_t>());
}

double require_number(double value, const char* name) {
  if (!std::isfinite(value)) fail("ERR_RANGE", name, ": expected a number that float64 holds, found an overflow");
  return value;
}

// The class means of the P classes with samples, about their own mean, and their singular values. Not the spectrum of
// their Gram matrix: that has the squares, and loses twice the digits where one class is far from the others.
struct BetweenClasses {
  std::vector<int64_t> classes;
  double unit = 1;       // a power of two, over which everything below is
  at::Tensor means;      // [P, d], centred
  at::Tensor axes;       // [d, min(P, d)]: right singular vectors of the means
  at::Tensor strengths;  // [rank]: the singular values that are not zero, descending
};

ClassifierNumbers classifier_numbers(const BetweenClasses& between, const at::Tensor& unit_means,
                                     const at::Tensor& weight) {
  const at::Tensor rows = weight.index_select(0, at::tensor(between.classes, at::kLong).to(weight.device()));
  const at::Tensor scaled = rows / unit_of(largest_of(rows)), unit = unit_rows(rows);
  ClassifierNumbers numbers;
  numbers.en = norm_variation(scaled, 1);
  numbers.en_ddof0 = norm_variation(scaled, 0);
  numbers.ea = angle_deviation(unit);
  numbers.nc3 = (unit_norm(scaled) - unit_norm(between.means)).square().sum().item<double>();
  numbers.nc3_unit_columns = (unit - unit_means).square().sum().item<double>();
  numbers.etf_distance = etf_distance(scaled);
  return numbers;
}

// From the means [P, d] of the classes `labels`, as sums of two. spread: root mean square of the features' entries
// about some centre, which says what rounding does to a mean. rcond: squared singular values below this share of the
// largest count as zero (default: 4·max(P, d)·eps); at most P − 1 are kept. ERR_RANGE where the means of all classes
// coincide, or one has no angle, ERR_SHAPE below two classes with samples.
BetweenClasses between_classes(const std::vector<int64_t>& labels, const at::Tensor& means, const at::Tensor& means_low,
                               double spread, std::optional<double> rcond) {
  const auto classes = static_cast<int64_t>(labels.size());
  if (classes < 2) fail("ERR_SHAPE", "labels: expected samples of at least 2 classes, found ", classes);
  BetweenClasses between;
  between.classes = labels;
  // About one of them first, and twice about their mean: what that is rounded by, too, is in every row.
  at::Tensor centred = (means - means[0]).add_(means_low - means_low[0]);
  const double apart = largest_of(centred);
  if (!std::isfinite(apart)) fail("ERR_RANGE", "features: expected class means that float64 can subtract");
  between.unit = unit_of(apart);
  centred.div_(between.unit);
  centred.sub_(centred.mean(0));
  centred.sub_(centred.mean(0));
  between.means = centred;
  const int64_t dim = means.size(1);
  const auto [left, values, right] = at::linalg_svd(centred, /*full_matrices=*/false);
  // What rounding of the class means alone can leave in a singular value.
  const double size = std::sqrt(static_cast<double>(classes * dim));
  const double rounding =
      4 * size * epsilon * std::max(spread / between.unit, epsilon * largest_of(means) / between.unit);
  const double largest = values[0].item<double>();
  if (!(largest > rounding))
    fail("ERR_RANGE", "features: expected class means that differ, found them all at one point");
  const double no_length = std::max(rounding, 4 * std::sqrt(static_cast<double>(dim)) * epsilon);
  const at::Tensor at_centre = at::linalg_vector_norm(centred, 2, 1).le(no_length).nonzero();
  if (at_centre.size(0) > 0) {
    fail("ERR_RANGE",
         "features: expected no class mean at the mean of the class means, where it has no angle; found class ",
         between.classes[static_cast<size_t>(at_centre[0].item<int64_t>())]);
  }
  const double share = rcond.value_or(4 * static_cast<double>(std::max(classes, dim)) * epsilon);
  const double cut = std::max(std::sqrt(share) * largest, rcond ? 0.0 : rounding);
  // The last singular value belongs to the sum of the means, which is zero by construction.
  const int64_t most = std::min(classes - 1, values.size(0));
  const int64_t rank = std::clamp<int64_t>(values.gt(cut).sum().item<int64_t>(), 1, most);
  between.strengths = values.slice(0, 0, rank);
  between.axes = right.t();
  return between;
}

// Every number but NC4. `within`: the mean over samples of the squared deviation from the class mean along the axes,
// over strengths. Without a weight (undefined) no number of the classifier.
CollapseNumbers collapse_numbers(const BetweenClasses& between, double within, const at::Tensor& weight) {
  CollapseNumbers numbers;
  numbers.classes = between.classes;
  numbers.rank = between.strengths.size(0);
  // tr(Σ_W Σ_B†) = C · tr(Σ_W V Σ⁻² Vᵀ) for M̄ᵀ = UΣVᵀ
  numbers.nc1 = require_number(static_cast<double>(between.classes.size()) * within, "nc1");
  numbers.en_means = norm_variation(between.means, 1);
  numbers.en_means_ddof0 = norm_variation(between.means, 0);
  const at::Tensor unit_means = unit_rows(between.means);
  numbers.ea_means = angle_deviation(unit_means);
  numbers.etf_distance_means = etf_distance(between.means);
  if (weight.defined()) numbers.classifier = classifier_numbers(between, unit_means, weight);
  return numbers;
}

// What the two passes over features gather: class means, then everything that is relative to them.
struct Measurement : CollapseInputs {
  explicit Measurement(CollapseInputs inputs) : CollapseInputs(std::move(inputs)) {}

  double unit = 1;  // rows are divided by it where their squares would overflow or vanish
  std::vector<int64_t> present;
  at::Tensor sizes;    // [P, 1]: their counts
  at::Tensor own;      // [N]: the place of each sample's class among those with samples
  at::Tensor origin;   // [d]: the mean of the first chunk, near enough to the data for sums to keep their digits
  at::Tensor sums;     // [P, d], about the origin
  double squares = 0;  // Σ‖z − origin‖²
  at::Tensor means;    // [P, d]: class means, rounded
  BetweenClasses between;
  at::Tensor axes;                    // [d, K]: principal axes of the class means, over their unit
  at::Tensor coordinates, distances;  // [P, K]: class means along them; [P, P]: squared distances between class means
  at::Tensor along;   // [P, rank]: per class, Σ of a feature's deviation along the axes, over strengths
  double within = 0;  // Σ of its square
  int64_t unlike_prediction = 0, unlike_label = 0;

  void check() {
    require_finite(features, "features");
    require_labels(labels, classes, "labels");
    if (predictions.defined()) require_labels(predictions, classes, "predictions");
    if (weight.defined()) {
      require_weight(weight);
      weight = weight.to(device, at::kDouble);
    }
    if (bias.defined()) {
      require_finite(bias, "bias");
      bias = bias.to(device, at::kDouble);
    }
    if (features.scalar_type() == at::kDouble) {  // what float32 holds is never too large or small
      const double largest = largest_of(features);
      if (largest > 0 && (largest > 0x1p400 || largest < 0x1p-300)) unit = unit_of(largest);
    }
    const auto [sorted, places, counts] =
        at::_unique2(labels, /*sorted=*/true, /*return_inverse=*/true, /*return_counts=*/true);
    present.assign(sorted.const_data_ptr<int64_t>(), sorted.const_data_ptr<int64_t>() + sorted.size(0));
    own = places.to(device);
    sizes = counts.to(device, at::kDouble).unsqueeze(1);
    sums = at::zeros({sorted.size(0), features.size(1)}, sizes.options());
  }

  int64_t chunk_rows() const { return std::max<int64_t>(1, chunk_entries / features.size(1)); }

  at::Tensor given_rows(int64_t start, int64_t end) const {
    return features.slice(0, start, end).to(device).to(at::kDouble);
  }
  at::Tensor in_units(const at::Tensor& given) const { return unit == 1 ? given : given / unit; }

  // First pass.
  void sum(int64_t start, int64_t end) {
    const at::Tensor rows = in_units(given_rows(start, end));
    if (!origin.defined()) origin = rows.mean(0);
    const at::Tensor moved = rows - origin;
    squares += at::linalg_vector_norm(moved).square().item<double>();
    sums.addmm_(members(own.slice(0, start, end)), moved);
  }

  at::Tensor members(const at::Tensor& place) const {
    return at::zeros({sums.size(0), place.size(0)}, sums.options()).scatter_(0, place.unsqueeze(0), 1.0);
  }

  void find_means() {
    sums.div_(sizes);
    const double spread = std::sqrt(squares / static_cast<double>(features.numel()));
    between = between_classes(present, sums, at::zeros_like(sums), spread, rcond);
    means = sums + origin;
    axes = between.axes / between.unit;
    coordinates = between.means.mm(between.axes);
    distances = at::cdist(coordinates, coordinates, 2, /*compute_mode=*/2).square_();  // by differences
    along = at::zeros({means.size(0), between.strengths.size(0)}, sums.options());
  }

  // Second pass.
  void relate(int64_t start, int64_t end) {
    const at::Tensor given = given_rows(start, end);
    const at::Tensor rows = in_units(given);
    const at::Tensor place = own.slice(0, start, end);
    at::Tensor prediction = predictions.defined() ? predictions.slice(0, start, end).to(device) : at::Tensor();
    // The deviation from the own mean itself: a difference of two projections would have lost what collapse leaves.
    const at::Tensor deviations = (rows - means.index_select(0, place)).mm(axes);
    const at::Tensor shares = deviations.slice(1, 0, between.strengths.size(0)) / between.strengths;
    within += at::linalg_vector_norm(shares).square().item<double>();
    along.addmm_(members(place), shares);
    if (!prediction.defined() && !weight.defined()) return;
    if (!prediction.defined()) {
      const at::Tensor logits = bias.defined() ? at::addmm(bias, given, weight.t()) : given.mm(weight.t());
      if (!logits.isfinite().all().item<bool>())
        fail("ERR_RANGE", "weight: expected logits that float64 holds, found an overflow");
      prediction = logits.argmax(1);
    }
    // ‖z − u_k‖² less ‖z − u‖², u the own mean
    const at::Tensor nearest = (distances.index_select(0, place) - 2 * deviations.mm(coordinates.t())).argmin(1);
    const at::Tensor nearest_class = at::tensor(present, at::kLong).to(device).index_select(0, nearest);
    unlike_prediction += nearest_class.ne(prediction).sum().item<int64_t>();
    unlike_label += nearest.ne(place).sum().item<int64_t>();
  }

  CollapseNumbers finish() {
    // `means` were rounded, which moved every deviation of a class by one vector.
    within -= (along.square() / sizes).sum().item<double>();
    const auto samples = static_cast<double>(features.size(0));
    CollapseNumbers numbers = collapse_numbers(between, std::max(within, 0.0) / samples, weight);
    if (!predictions.defined() && !weight.defined()) return numbers;
    numbers.nc4 = static_cast<double>(unlike_prediction) / samples;
    numbers.nc4_labels = static_cast<double>(unlike_label) / samples;
    return numbers;
  }
};

// Σ over samples of the squared deviation along the axes over strengths, from a pooled scatter S (lower triangle): the
// trace of BᵀSB. ERR_RANGE where S's largest entries leave no digit of it.
double within_of_scatter(const BetweenClasses& between, const at::Tensor& scatter, double samples) {
  const at::Tensor scaled = between.axes.slice(1, 0, between.strengths.size(0)) / between.strengths / between.unit;
  const at::Tensor variances = scatter.diagonal();
  const at::Tensor squares = scaled.square().sum(1);
  const double mixed = (scaled * scatter.tril(-1).mm(scaled)).sum().item<double>();
  const double within = (2 * mixed + squares.dot(variances).item<double>()) / samples;
  const double rounding = epsilon * squares.dot(variances).item<double>() / samples;
  if (rounding > 0.01 * within && rounding > 1e-9) {
    fail("ERR_RANGE", "statistics: expected scatters that hold NC1, found variances so unequal that rounding is about ",
         rounding * static_cast<double>(between.classes.size()), "; measure it from the features");
  }
  return std::max(within, 0.0);
}

}  // namespace

Task<CollapseNumbers> measure_collapse(CollapseInputs inputs) {
  Measurement measurement(std::move(inputs));
  measurement.check();
  const int64_t count = measurement.features.size(0), rows = measurement.chunk_rows();
  for (int64_t start = 0; start < count; start += rows) {
    measurement.sum(start, std::min(count, start + rows));
    co_await next_turn;
  }
  measurement.find_means();
  for (int64_t start = 0; start < count; start += rows) {
    co_await next_turn;
    measurement.relate(start, std::min(count, start + rows));
  }
  co_return measurement.finish();
}

CollapseNumbers collapse_of_moments(const ClassMoments& moments, const at::Tensor& weight,
                                    std::optional<double> rcond) {
  if (weight.defined()) require_weight(weight);
  const at::Tensor scatter = moments.pooled_scatter();
  const auto samples = static_cast<double>(moments.total());
  const double variance = scatter.diagonal().sum().item<double>() / samples / static_cast<double>(moments.dim());
  const at::Tensor present = at::tensor(moments.present(), at::kLong).to(moments.device());
  const BetweenClasses between =
      between_classes(moments.present(), moments.mean().index_select(0, present),
                      moments.mean_low().index_select(0, present), std::sqrt(variance), rcond);
  return collapse_numbers(between, within_of_scatter(between, scatter, samples),
                          weight.defined() ? weight.to(moments.device(), at::kDouble) : at::Tensor());
}

}  // namespace ood
